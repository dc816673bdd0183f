"""Contrastive guidance, its pooling and its layers against plain loops."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from l2o.guidance import Contrastive, LayerMaps
from l2o.guidance.contrastive import as_augmentation
from l2o.guidance.pooling import attention_weights, average_weights, crop_table, pool

WIDTHS = {"middle": 3, "last": 5}


def draw_maps(seed: int, size: int = 4, batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"middle": (batch, 3, size, size + 1), "last": (batch, 5)}
    return {k: torch.rand(s, generator=generator, dtype=torch.float64) for k, s in shapes.items()}


def make(**options: object) -> Contrastive:
    term = Contrastive(WIDTHS, **{"queue": 7, "dim": 6, "weight": 0.5, **options})  # type: ignore[arg-type]
    term.prepare(draw_maps(0))
    return term


def plain_pool(query: Tensor, key: Tensor, how: str) -> tuple[list[float], list[float]]:
    """Pool one image's maps `[C, H, W]` with the query's attention, with bare floats."""
    channels, height, width = query.shape
    places = [(h, w) for h in range(height) for w in range(width)]
    mean = [sum(query[c, h, w].item() for h, w in places) / len(places) for c in range(channels)]
    scores = [
        sum(query[c, h, w].item() * mean[c] for c in range(channels)) if how == "attention" else 1.0
        for h, w in places
    ]
    shares = [score / sum(scores) for score in scores]
    pooled = [
        [
            sum(a * maps[c, h, w].item() for a, (h, w) in zip(shares, places))
            for c in range(channels)
        ]
        for maps in (query, key)
    ]
    return pooled[0], pooled[1]


def plain_mlp(network: nn.Sequential, x: list[float]) -> list[float]:
    """Linear, ReLU, linear, normalised."""
    for index, layer in ((0, network[0]), (1, network[2])):
        rows = zip(layer.weight.tolist(), layer.bias.tolist())
        x = [sum(w * v for w, v in zip(row, x)) + b for row, b in rows]
        x = [max(v, 0.0) for v in x] if index == 0 else x
    length = math.sqrt(sum(v * v for v in x))
    return [v / length for v in x]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other))


def plain_loss(
    term: Contrastive, student: dict[str, Tensor], teacher: dict[str, Tensor], past: dict[str, list]
) -> float:
    """One step's loss, the queue being `past`; adds the new keys to it."""
    total = 0.0
    for name, network in zip(term.layers, term.networks):
        losses, new = [], []
        for query, key in zip(student[name], teacher[name]):
            if query.dim() > 1:
                q, k = plain_pool(query, key, term.pooling)
            else:
                q, k = query.tolist(), key.tolist()
            q, k = plain_mlp(network.query, q), plain_mlp(network.key, k)
            positive = math.exp(dot(q, k) / term.temperature)
            negative = sum(math.exp(dot(q, z) / term.temperature) for z in past[name])
            losses.append(-math.log(positive / (positive + negative)))
            new.append(k)
        past[name] = (past[name] + new)[-term.queue :]
        total += sum(losses) / len(losses)
    return total


@pytest.mark.parametrize("pooling", ["attention", "average"])
def test_equals_plain_loop_over_steps(pooling: str) -> None:
    """Loss, key MLPs and queue (7 places, 3 keys a step, so that it wraps) over four steps."""
    term = make(pooling=pooling, momentum=0.9)
    past: dict[str, list] = {name: [] for name in WIDTHS}
    for step in range(4):
        student, teacher = draw_maps(2 * step), draw_maps(2 * step + 1)
        wanted = {}
        for number, network in enumerate(term.networks):
            for (name, key), query in zip(
                network.key.named_parameters(), network.query.parameters()
            ):
                wanted[number, name] = 0.9 * key.detach() + 0.1 * query.detach()
        got = term(student, teacher)
        for (number, name), value in wanted.items():
            torch.testing.assert_close(
                dict(term.networks[number].key.named_parameters())[name], value
            )
        assert got.item() == pytest.approx(0.5 * plain_loss(term, student, teacher, past), rel=1e-9)
        if step:
            got.backward()
            with torch.no_grad():
                for parameter in term.parameters():
                    parameter -= 0.5 * parameter.grad
                    parameter.grad = None


def test_gradients() -> None:
    term = make()
    term(draw_maps(0), draw_maps(1))
    term.networks[0].settle(), term.networks[1].settle()
    teacher = draw_maps(3)
    maps = [v.requires_grad_() for v in draw_maps(2).values()]
    trained = list(term.parameters())
    assert len(trained) == 8
    keys = [term.pool(m.detach(), teacher[n])[1] for n, m in zip(WIDTHS, maps)]

    def loss_of(*student: Tensor) -> Tensor:
        """The keys are constants, though the query's attention pools them."""
        queries = [term.pool(m, teacher[n])[0] for n, m in zip(WIDTHS, student)]
        each = zip(term.networks, queries, keys)
        return torch.stack([n.loss(q, k, term.temperature)[0] for n, q, k in each]).sum()

    assert torch.autograd.gradcheck(loss_of, maps, atol=1e-5)
    whole = torch.autograd.grad(term.compare(dict(zip(WIDTHS, maps)), teacher)[0], maps)
    for one, other in zip(whole, torch.autograd.grad(loss_of(*maps), maps)):
        torch.testing.assert_close(one, other)
    # The query MLPs' weights are leaves that the loss reads: step each aside and back again.
    loss, _ = term.compare(dict(zip(WIDTHS, maps)), teacher)
    gradients = torch.autograd.grad(loss, trained)
    for parameter, gradient in zip(trained, gradients):
        with torch.no_grad():
            parameter.view(-1)[0] += 1e-6
            up = term.compare(dict(zip(WIDTHS, maps)), teacher)[0].item()
            parameter.view(-1)[0] -= 2e-6
            down = term.compare(dict(zip(WIDTHS, maps)), teacher)[0].item()
            parameter.view(-1)[0] += 1e-6
        assert gradient.view(-1)[0].item() == pytest.approx((up - down) / 2e-6, abs=1e-6)
    for network in term.networks:
        assert not any(p.requires_grad for p in network.key.parameters())


def test_no_past_keys_no_loss() -> None:
    assert make()(draw_maps(0), draw_maps(1)).item() == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 4),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_attention_pooling_equals_plain_loop(
    channels: int, height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, channels, height, width)
    query, key = torch.rand(shape, generator=generator, dtype=torch.float64)
    crops = crop_table(height, width, 1).double()
    weights = attention_weights(query.flatten(2), crops)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))
    for image in range(2):
        wanted = plain_pool(query[image], key[image], "attention")
        for maps, expected in zip((query, key), wanted):
            pooled = pool(maps.flatten(2), weights, crops)[image]
            assert pooled.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("how", ["attention", "average"])
def test_crops_are_pooled_on_their_own(how: str) -> None:
    """A map of 5 x 7 in 2 x 2 crops: rows 3 + 2, columns 4 + 3."""
    torch.manual_seed(0)
    query, key = torch.rand(2, 2, 3, 5, 7, dtype=torch.float64)
    term = make(pooling=how, crops=2)
    pooled = term.pool(query, key)
    assert pooled[0].shape == (8, 3)
    parts = [(slice(a, b), slice(c, d)) for a, b in ((0, 3), (3, 5)) for c, d in ((0, 4), (4, 7))]
    for image in range(2):
        for number, (rows, columns) in enumerate(parts):
            wanted = plain_pool(query[image][:, rows, columns], key[image][:, rows, columns], how)
            for got, expected in zip(pooled, wanted):
                assert got[4 * image + number].tolist() == pytest.approx(expected, abs=1e-12)


def test_dense_variant_averages_over_crops() -> None:
    term = Contrastive({"middle": 3}, queue=64, dim=6, crops=2)
    maps = {k: v for k, v in draw_maps(0).items() if k == "middle"}
    others = {k: v for k, v in draw_maps(1).items() if k == "middle"}
    term.prepare(maps)
    term(maps, others)
    loss, keys = term.compare(maps, others)
    assert keys[0].shape == (3 * 4, 6)
    term.networks[0].settle()
    assert term.networks[0].held == 12
    query, key = term.pool(maps["middle"], others["middle"])
    single = [
        term.networks[0].loss(q[None], k[None], term.temperature)[0] for q, k in zip(query, key)
    ]
    loss, _ = term.compare(maps, others)
    torch.testing.assert_close(loss, torch.stack(single).mean())


def test_map_of_zeros_is_pooled_evenly() -> None:
    maps = torch.zeros(1, 2, 4, requires_grad=True)
    crops = torch.ones(4, 1)
    weights = attention_weights(maps, crops)
    assert weights.tolist() == [[0.25] * 4]
    assert average_weights(crops).tolist() == [0.25] * 4
    pool(maps, weights, crops).sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_state_goes_on_where_it_was() -> None:
    one = make()
    for step in range(3):
        one(draw_maps(step), draw_maps(step + 10))
    state = copy.deepcopy(one.state_dict())
    other = make(seed=9)
    other.load_state_dict(state)
    for step in range(3):
        maps = draw_maps(step + 20), draw_maps(step + 30)
        assert one(*maps).item() == other(*maps).item()
    unequal = make(seed=9)
    assert not torch.equal(unequal.networks[0].query[0].weight, one.networks[0].query[0].weight)


def test_contrast_pulls_to_its_own_key() -> None:
    """What it is for: after training, each image's query is nearest to its own key."""
    torch.manual_seed(1)
    backbone = nn.Linear(8, 16)
    images = torch.randn(24, 8)
    keys = {"last": torch.randn(24, 16)}
    term = Contrastive({"last": 16}, weight=1.0, dim=16, queue=96, momentum=0.9)
    optimizer = torch.optim.Adam([*backbone.parameters(), *term.parameters()], 0.01)

    def right() -> float:
        network = term.networks[0]
        with torch.no_grad():
            query = functional.normalize(network.query(backbone(images)), dim=1)
            key = functional.normalize(network.key(keys["last"]), dim=1)
        return float(((query @ key.T).argmax(1) == torch.arange(24)).float().mean())

    before = right()
    for _ in range(150):
        loss = term({"last": backbone(images)}, keys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before < 0.3
    assert right() > 0.9


def test_names_only_need_maps_first() -> None:
    term = Contrastive(["middle"], queue=4)
    for call in (lambda: list(term.parameters()), lambda: term(draw_maps(0), draw_maps(1))):
        with pytest.raises(ValueError, match="prepare"):
            call()
    term.prepare(draw_maps(0))
    assert next(term.parameters()).dtype == torch.float64
    with pytest.raises(ValueError, match="no map of layer 'middle'"):
        term({"last": torch.rand(2, 5)}, draw_maps(0))


def test_rectify() -> None:
    maps = {"last": torch.randn(3, 5)}
    query, key = Contrastive({"last": 5}, rectify=True).pool(maps["last"], maps["last"] * 2)
    assert torch.equal(query, maps["last"].relu())
    assert torch.equal(key, maps["last"].relu() * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": []}, "layers"),
        ({"layers": "fc"}, "layers"),
        ({"queue": 0}, "queue"),
        ({"dim": 2.5}, "dim"),
        ({"views": -1}, "views"),
        ({"crops": 0}, "crops"),
        ({"temperature": 0.0}, "temperature"),
        ({"momentum": 1.5}, "momentum"),
        ({"pooling": "max"}, "attention, average"),
        ({"augment": {"operation": 2}}, "augment"),
        ({"augment": "rand_augmen"}, "rand_augment"),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contrastive(**{"layers": ["fc"], **options})  # type: ignore[arg-type]


def test_crops_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        make(crops=5).pool(torch.rand(2, 3, 4, 6), torch.rand(2, 3, 4, 6))
    with pytest.raises(ValueError, match="dimensions"):
        make(crops=2).pool(torch.rand(2, 3, 4), torch.rand(2, 3, 4))


def test_augmentations() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(as_augmentation(None)(images), images)
    assert as_augmentation({"operations": 3}).operations == 3  # type: ignore[attr-defined]
    assert as_augmentation("torch:neg")(images).max() <= 0


def test_layer_maps() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(inplace=True)), nn.LSTM(3, 2))
    x = torch.randn(4, 2)
    with LayerMaps(model, ["0", "1.0"]) as caught:
        out = model[1](model[0](x))
        assert set(caught.maps) == {"0", "1.0"}
        assert caught.maps["1.0"] is out
    assert not caught.maps
    assert not model[0]._forward_hooks
    with pytest.raises(ValueError, match=r"Known: 0, 1, 1\.0, 2"):
        LayerMaps(model, ["3"])
    with pytest.raises(ValueError, match="at least one"):
        LayerMaps(model, [])
    with LayerMaps(model, ["2"]), pytest.raises(ValueError, match="LSTM, gives a tuple"):
        model(x)
