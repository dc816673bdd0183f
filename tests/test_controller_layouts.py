"""Parameters as users have them: in groups of their own, tied, thawed, of other devices' making."""

import pytest
import torch
from optimizer_cases import CASES, network
from optimizer_checkpoints import save_and_load
from optimizer_loops import (
    FACTORS,
    STEPS,
    Fixed,
    Run,
    Turns,
    assert_same,
    control,
    layers_of,
    reference,
    trained,
)
from torch import nn

import l2o
from l2o.measuring.meter import Meter
from l2o.signals.spec import SignalSpec
from l2o.tensors import dots, norms, real_and_dense, scalars_to_host

SGD, ADAMW = CASES["SGD"], CASES["AdamW"]


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_decay_and_no_decay_crossed_with_layers(mode):
    def halves(rows):
        matrices = [p for row in rows for p in row if p.dim() > 1]
        return matrices, [p for row in rows for p in row if p.dim() <= 1]

    ours, theirs = network(ADAMW), network(ADAMW)
    decay, bare = halves(layers_of(ours))
    optimizer = torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": 0.3},
            {"params": bare, "weight_decay": 0.0, "lr": 0.02},
        ],
        lr=0.01,
    )
    wanted = torch.optim.AdamW(
        [
            {"params": part, "weight_decay": weight_decay, "lr": rate * factor}
            for row, factor in zip(layers_of(theirs), FACTORS)
            for part, weight_decay, rate in zip(halves([row]), (0.3, 0.0), (0.01, 0.02))
        ]
    )
    controller = control(Fixed(*FACTORS), optimizer, ours, mode=mode)
    run, other = Run(ours, optimizer), Run(theirs, wanted)
    run.plain()
    other.plain()
    assert_same(run, other)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert controller.get_last_lr()["0"] == pytest.approx(0.25 * (0.01 + 0.02) / 2)


class Tied(nn.Module):
    """Embeddings in and out are one matrix, as in language models."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.body = nn.Linear(4, 4)
        self.out = nn.Linear(4, 7)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.body(self.embed(x)).tanh())


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_tied_weights_belong_to_one_layer(mode):
    def begin():
        torch.manual_seed(0)
        return Tied().double()

    ours, theirs = begin(), begin()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    controller = l2o.LRController(Fixed(*FACTORS), optimizer, ours, mode=mode, guard=None)
    layers = {"embed": [theirs.embed.weight], "body": theirs.body.parameters()}
    layers["out"] = [theirs.out.bias]
    wanted = torch.optim.SGD(
        [{"params": p, "lr": 0.1 * f} for p, f in zip(layers.values(), FACTORS)], momentum=0.9
    )
    assert list(controller.multipliers) == list(layers)
    for index in range(STEPS):
        x = torch.randint(0, 7, (8,), generator=torch.Generator().manual_seed(index))
        for model, chosen in ((ours, optimizer), (theirs, wanted)):
            nn.functional.cross_entropy(model(x), (x + 1) % 7).backward()
            chosen.step()
            chosen.zero_grad()
    for mine, right in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-11)


def test_parameters_that_the_model_does_not_know_train_at_the_user_s_rate():
    model = network(SGD)
    optimizer = SGD.make(trained(model))
    controller = control(Fixed(0.0, 0.0, 0.0), optimizer, model)
    temperature = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer.add_param_group({"params": temperature, "momentum": 0.0, "weight_decay": 0.0})
    run = Run(model, optimizer)
    before = [p.detach().clone() for p in model.parameters()]
    for index in range(STEPS):
        (run.loss(index) * temperature).backward()
        temperature.grad = torch.ones_like(temperature)
        optimizer.step()
        optimizer.zero_grad()
    assert temperature.item() == pytest.approx(1 - STEPS * 0.1, rel=1e-12)
    assert all(map(torch.equal, before, model.parameters()))
    assert list(controller.multipliers) == ["0", "1", "2"]


def test_freezing_and_thawing_by_turns_changes_no_group():
    model = network(SGD)
    optimizer = SGD.make(trained(model))
    controller = control(Turns(), optimizer, model)
    run = Run(model, optimizer)
    groups = controller.groups
    for index in range(STEPS):
        for parameter in layers_of(model)[0]:
            parameter.requires_grad_(index % 2 == 0)
        run.one(index)
    assert controller.groups is groups
    assert len(controller.history) == STEPS // 2 + 1


def test_a_thawed_layer_joins_with_its_own_multiplier_and_the_others_go_on():
    model = network(SGD)
    for parameter in layers_of(model)[0]:
        parameter.requires_grad_(False)
    optimizer = SGD.make(trained(model))
    controller = control(Turns(), optimizer, model)
    run = Run(model, optimizer, observe=controller.observe)
    run.plain(0, 3)
    row = controller.state_dict()["policy_state"]["row"]
    for parameter in layers_of(model)[0]:
        parameter.requires_grad_(True)
    run.one(3)
    state = controller.state_dict()
    assert state["groups"] == ["0", "1", "2"]
    # The policy decided at once, and then at its usual step; its rows of the old layers went on.
    assert [decision.step for decision in controller.history] == [0, 2, 3, 4]
    torch.testing.assert_close(state["policy_state"]["row"][1:], row * 0.9 * 0.9)
    torch.testing.assert_close(state["policy_state"]["row"][0], torch.tensor(0.9 * 0.9))
    # Drift counts from where each layer began.
    starts = dict(zip([n for names in state["parameters"] for n in names], state["meter"]["start"]))
    assert torch.equal(starts["layers.1.weight"], network(SGD).layers[1].weight)
    assert not torch.equal(starts["layers.1.weight"], model.layers[1].weight)


def test_a_checkpoint_after_thawing_loads_before_it():
    def begin():
        model = network(SGD)
        for parameter in layers_of(model)[0]:
            parameter.requires_grad_(False)
        optimizer = SGD.make(trained(model))
        return model, optimizer, control(Turns(), optimizer, model)

    model, optimizer, controller = begin()
    Run(model, optimizer).plain(0, 2)
    for parameter in layers_of(model)[0]:
        parameter.requires_grad_(True)
    Run(model, optimizer).plain(2, 4)
    saved = save_and_load(optimizer.state_dict())
    fresh, other, again = begin()
    other.load_state_dict(saved)
    assert again.steps == 4
    assert list(again.multipliers) == ["1", "2"]
    assert again.multipliers == {name: controller.multipliers[name] for name in ("1", "2")}
    for parameter in layers_of(fresh)[0]:
        parameter.requires_grad_(True)
    Run(fresh, other).plain(4, 6)
    assert list(again.multipliers) == ["0", "1", "2"]
    assert again.steps == 6


def test_groups_given_by_hand_may_come_later():
    model = network(SGD)
    rows = layers_of(model)
    made = [
        l2o.LayerGroup(
            str(i), tuple(f"{i}.{j}" for j in range(len(row))), tuple(row), i / 2, i == 2
        )
        for i, row in enumerate(rows)
    ]
    optimizer = SGD.make([*rows[1], *rows[2]])
    controller = l2o.LRController(Fixed(*FACTORS), optimizer, groups=made, guard=None)
    run, theirs = Run(model, optimizer), reference(SGD)
    optimizer.add_param_group({"params": rows[0]})
    run.plain()
    theirs.plain()
    assert list(controller.multipliers.values()) == list(FACTORS)
    assert_same(run, theirs)


# Tensors ---------------------------------------------------------------------------------------


def test_norms_and_products_of_all_kinds_of_tensors():
    index = torch.tensor([[1, 3, 1]])
    sparse = torch.sparse_coo_tensor(index, torch.tensor([[3.0], [4.0], [-3.0]]), (5, 1))
    kinds = [
        torch.tensor([3.0, 4.0]),
        torch.tensor([3.0, 4.0], dtype=torch.float64),
        torch.full((10_000,), 300.0, dtype=torch.float16),  # its square overflows in half precision
        torch.tensor(-5.0, dtype=torch.bfloat16),
        torch.tensor([3 + 4j]),
        sparse,
        torch.zeros(0),
    ]
    kinds = [real_and_dense(kind) for kind in kinds]
    found = scalars_to_host(norms(kinds))
    assert found.tolist() == pytest.approx([5.0, 5.0, 30_000.0, 5.0, 5.0, 4.0, 0.0])
    others = [real_and_dense(torch.tensor([1 + 1j])), kinds[2], torch.arange(5.0).reshape(5, 1)]
    products = scalars_to_host(dots([kinds[4], kinds[2], kinds[5]], others))
    assert products.tolist() == pytest.approx([7.0, 9e8, 12.0], rel=1e-3)


def test_sparse_gradients_are_measured_as_dense_ones():
    def measure(sparse):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(9, 3, sparse=sparse), nn.Linear(3, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        meter = Meter(l2o.group_layers(model), SignalSpec().needs)
        model(torch.tensor([1, 4, 4])).square().sum().backward()
        assert model[0].weight.grad.is_sparse == sparse
        meter.before_step()
        optimizer.step()
        return meter.measure(1, torch.ones(2), [0.1, 0.1])

    mine, wanted = measure(True), measure(False)
    for name in ("gradient_norm", "update_norm", "gradient_dot_update", "drift_norm"):
        value = getattr(mine, name)
        assert value.isfinite().all()
        torch.testing.assert_close(value, getattr(wanted, name))
