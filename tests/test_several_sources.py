"""Several sources: shares of batches, statistics of each, rehearsal, and fine-tunes with them."""

import contextlib
import copy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.sources import SourcedForward, SourceMix, SourceNorm
from l2o.envs.fine_tuning.sources.mix import apportion
from l2o.envs.stacked import StackedFineTune
from l2o.envs.tasks import DigitsFamily, DomainsFamily

OF = torch.tensor([0] * 10 + [1] * 3)
NAMES = ("drawn", "rendered")


def mix(weights, batch=4, steps=100, **more):
    return SourceMix(OF, NAMES, weights, batch, steps, seed=0, **more)


def counts(made, batches, start=0):
    orders = list(islice(made.orders(), start, batches))
    return np.array([[int((OF[order] == k).sum()) for k in range(2)] for order in orders])


# --- shares


def test_shares_are_whole_images_and_what_is_cut_off_is_carried_over():
    found = counts(mix({"drawn": 5, "rendered": 3}), 8)
    assert (found.sum(axis=1) == 4).all()
    # 2.5 and 1.5 of 4: in turn 3 and 1, then 2 and 2.
    assert found.tolist() == [[3, 1], [2, 2]] * 4
    assert counts(mix({"drawn": 1}), 3).tolist() == [[4, 0]] * 3


def test_each_source_is_read_in_rounds():
    orders = torch.cat(list(islice(mix({"drawn": 1, "rendered": 1}).orders(), 9)))
    small = orders[OF[orders] == 1]
    assert len(small) == 18
    for start in range(0, 18, 3):
        assert sorted(small[start : start + 3].tolist()) == [10, 11, 12]
    assert torch.equal(
        orders, torch.cat(list(islice(mix({"drawn": 1, "rendered": 1}).orders(), 9)))
    )


def test_weights_may_follow_a_schedule():
    fading = {"drawn": 1, "rendered": {"schedule": "linear", "value": 3.0}}
    made = mix(fading, steps=10)
    assert made.shares(0.0).tolist() == [0.25, 0.75]
    assert made.shares(0.5).tolist() == pytest.approx([0.4, 0.6])
    assert made.shares(1.0).tolist() == [1.0, 0.0]
    assert counts(made, 12)[-1].tolist() == [4, 0]


def test_learned_shares_follow_the_losses():
    made = mix("learned", step=1.0, least=0.1)
    orders = made.orders()
    order = next(orders)
    losses = torch.where(OF[order] == 1, 2.0, 1.0)
    made.tell(losses)
    raw = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    assert made.shares(0.0).tolist() == pytest.approx((0.1 + 0.8 * raw).tolist())
    made.tell(losses)  # of a batch that was not given
    for _ in range(20):
        of = OF[next(orders)]
        made.tell(torch.where(of == 1, 5.0, 0.0))
    assert made.shares(0.0)[1] == pytest.approx(0.9, abs=0.02)
    next(orders)
    made.tell(torch.full((4,), float("nan")))
    assert made.shares(0.0)[1] == pytest.approx(0.9, abs=0.02)
    next(orders)
    with pytest.raises(ValueError, match="whole batches"):
        made.tell(torch.zeros(3))


def test_a_mix_goes_on_as_if_never_stopped():
    one = mix("learned", step=0.5)
    orders, seen = one.orders(), []
    for _ in range(6):
        seen.append(next(orders))
        one.tell(torch.where(OF[seen[-1]] == 1, 2.0, 1.0))
    state = one.state_dict(6)
    other = mix("learned", step=0.5)
    other.load_state_dict(state)
    again = other.orders()
    assert all(torch.equal(next(again), order) for order in seen)
    for _ in range(4):
        mine, theirs = next(orders), next(again)
        assert torch.equal(mine, theirs)
        for each, order in ((one, mine), (other, theirs)):
            each.tell(torch.where(OF[order] == 1, 2.0, 1.0))


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=5), st.integers(1, 40))
def test_apportioned_numbers_sum_to_the_total(weights, total):
    whole = np.array(weights) + 1e-3
    wanted = whole / whole.sum() * total
    found, short = apportion(wanted, total)
    assert found.sum() == total
    assert (found >= 0).all()
    assert np.abs(short).max() <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"drwn": 1}, r"'drwn'.*'drawn'"),
        ({"drawn": 0}, "all 0"),
        ({"drawn": -1}, "weight"),
        ("even", "must be 'size', 'learned'"),
    ],
)
def test_impossible_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        mix(weights)


def test_a_source_without_images_is_refused():
    with pytest.raises(ValueError, match="'rendered' has no training images"):
        SourceMix(torch.zeros(4).long(), NAMES, {"drawn": 1}, 2, 10, seed=0)


# --- statistics


def test_each_source_has_its_own_statistics():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3)
    norm.weight.data, norm.bias.data = torch.rand(3) + 0.5, torch.rand(3)
    network = nn.Sequential(norm).train()
    statistics = SourceNorm(network, 2)
    x = torch.cat([torch.randn(6, 3), 5 + 2 * torch.randn(4, 3)])
    rows = torch.tensor([0] * 6 + [1] * 4)
    with statistics.of(rows):
        found = network(x)
    assert norm.training
    for number in range(2):
        mine = x[rows == number]
        alone = (mine - mine.mean(0)) / (mine.var(0, unbiased=False) + norm.eps).sqrt()
        assert torch.allclose(found[rows == number], alone * norm.weight + norm.bias, atol=1e-5)
    means = torch.stack([0.1 * x[rows == number].mean(0) for number in range(2)])
    variances = torch.stack([0.9 + 0.1 * x[rows == number].var(0) for number in range(2)])
    mean = means.mean(0)
    pooled = (variances + means**2).mean(0) - mean**2
    assert torch.allclose(norm.running_mean, mean, atol=1e-6)
    assert torch.allclose(norm.running_var, pooled, atol=1e-5)
    # Nobody's rows are read by the pool, which is all that the network itself has.
    plain = (x - mean) / (pooled + norm.eps).sqrt() * norm.weight + norm.bias
    assert torch.allclose(network.eval()(x), plain, atol=1e-5)
    with statistics.of(rows):  # in evaluation each source is read by its own
        found = network(x)
    own = (x - means[rows]) / (variances[rows] + norm.eps).sqrt() * norm.weight + norm.bias
    assert torch.allclose(found, own, atol=1e-5)
    with statistics.of(rows[:3]), pytest.raises(ValueError, match="10 rows"):
        network(x)
    assert list(network.state_dict()) == list(nn.Sequential(nn.BatchNorm1d(3)).state_dict())


def test_a_network_begins_with_the_statistics_it_had():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    network[1].running_mean.uniform_(-1, 1)
    x = torch.rand(2, 3, 8, 8)
    before = network(x)
    statistics = SourceNorm(network, 3)
    with statistics.of(torch.tensor([2, 0])):
        assert torch.allclose(network(x), before, atol=1e-5)
    assert torch.equal(network(x), before)
    statistics.remove()
    with statistics.of(torch.tensor([2])):  # no hooks are left that would miss a row
        network(x)
    with pytest.raises(ValueError, match="no batch norm"):
        SourceNorm(nn.Linear(2, 2), 2)
    with pytest.raises(ValueError, match="momentum=None"):
        SourceNorm(nn.Sequential(nn.BatchNorm2d(4, momentum=None)), 2)


def test_one_source_alone_is_plain_batch_norm():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    network = copy.deepcopy(plain)
    statistics, x = SourceNorm(network, 1), torch.randn(8, 4)
    for each, within in ((plain, None), (network, statistics.of(torch.zeros(8).long()))):
        if within is None:
            each(x).square().sum().backward()
            continue
        with within:
            each(x).square().sum().backward()
    for mine, theirs in zip(plain.parameters(), network.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)
    for name, buffer in plain.named_buffers():
        assert torch.allclose(buffer, network.get_buffer(name), atol=1e-6), name


def test_parts_of_a_batch_know_whose_they_are():
    network = nn.Sequential(nn.BatchNorm1d(2)).train()
    seen, norm = [], SourceNorm(network, 2)
    norm.of = lambda rows: seen.append(rows.tolist()) or contextlib.nullcontext()
    forward = SourcedForward(lambda images: images, norm, torch.tensor([0, 1, 1, 0]))
    orders = forward.noting(iter([torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2])]))
    list(orders)  # both are read ahead
    for count in (2, 1, 3):
        forward(torch.zeros(count, 2))
    assert seen == [[1, 1], [0], [0, 1, 1]]


# --- fine-tunes


@pytest.fixture(scope="module")
def task():
    family = DigitsFamily(
        split="train", networks=1, width=4, pretrain_steps=40, proxy_train_images=40
    )
    found = family.sample(0)
    of = (torch.arange(len(found.source_train)) % 3 == 0).long()
    return replace(found, sources=NAMES, source_of=of)


def run_of(task, **fields):
    return FineTune(task, FineTuning(steps=6, guidance={}, **fields), seed=0)


def test_a_fine_tune_mixes_and_goes_on(task):
    run = run_of(task, source_weights="learned")
    run.advance(3)
    state = copy.deepcopy(run.state_dict())
    run.advance(3)
    other = run_of(task, source_weights="learned")
    other.load_state_dict(state)
    other.advance(3)
    for mine, theirs in zip(run.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert run.mix.shares(1.0).tolist() == other.mix.shares(1.0).tolist()
    assert run.mix.shares(1.0).tolist() != [0.5, 0.5]


def with_norm(task):
    """The task with a network that has batch norm, which is trained."""

    def build():
        torch.manual_seed(0)
        model = task.build_model()
        inner = model.forward_features
        norm = model.extra_norm = nn.BatchNorm1d(inner(task.source_train[0][0][None]).shape[1])
        model.forward_features = lambda images: norm(inner(images))
        return model

    return replace(task, build_model=build, batch_norm="trained")


def test_a_fine_tune_keeps_statistics_of_each_source(task):
    normed = with_norm(task)
    fields = {"source_norm": True, "source_weights": {"drawn": 1, "rendered": 1}}
    run = run_of(normed, **fields)
    run.advance(3)
    state = copy.deepcopy(run.state_dict())
    run.advance(3)
    ((name, means),) = run.state_dict()["norm"]["means"].items()
    assert not torch.allclose(means[0], means[1])
    assert torch.allclose(run.model.get_submodule(name).running_mean, means.mean(0), atol=1e-6)
    other = run_of(normed, **fields)
    other.load_state_dict(state)
    other.advance(3)
    for mine, theirs in zip(
        run.model.state_dict().values(), other.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)
    plain = run_of(normed, source_weights=fields["source_weights"])
    plain.advance(6)
    assert plain.last_loss != run.last_loss


def test_rehearsal_adds_the_loss_on_the_proxys_images(task):
    plain, rehearsed = run_of(task), run_of(task, rehearsal=0.5)
    for run in (plain, rehearsed):
        run.advance(1)
    assert plain.last_loss == rehearsed.last_loss
    drawn = rehearsed.rehearsal
    drawn.begin(0)
    fresh = run_of(task)
    images, labels = next(drawn._batches)
    wanted = 0.5 * nn.functional.cross_entropy(
        fresh.proxy_head(fresh.model.forward_features(images)), labels
    )
    drawn.begin(0)
    assert drawn.term(fresh.model.forward_features).item() == pytest.approx(wanted.item())
    moved = [
        not torch.equal(a, b)
        for a, b in zip(plain.model.parameters(), rehearsed.model.parameters(), strict=True)
    ]
    assert any(moved)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_weights": {"drwn": 1.0}}, "'drawn'"),
        ({"source_weights": "learned", "accumulate": 2}, "accumulate=1"),
        ({"rehearsal": 1.0, "accumulate": 2}, "accumulate=1"),
        ({"source_norm": True}, "batch_norm=trained"),
    ],
)
def test_what_a_task_cannot_do_is_refused(task, fields, message):
    with pytest.raises(ValueError, match=message):
        run_of(task, **fields)


def test_a_task_of_one_source_has_no_weights(task):
    alone = replace(task, sources=(), source_of=None, proxy_train=None)
    with pytest.raises(ValueError, match="has one source"):
        run_of(alone, source_weights={"drawn": 1.0})
    with pytest.raises(ValueError, match="has one source"):
        run_of(alone, source_norm=True)
    with pytest.raises(ValueError, match="no labelled images"):
        run_of(alone, rehearsal=1.0)
    for fields in ({"rehearsal": 1.0}, {"source_norm": True}):
        with pytest.raises(ValueError, match="no stacked form"):
            StackedFineTune(FineTuning(**fields), 2, 6)
    with pytest.raises(ValueError, match="source_of"):
        replace(task, source_of=torch.zeros(3).long())


def test_domains_know_whose_each_image_is(tmp_path):
    for domain, count in (("sketch", 6), ("art", 4), ("photo", 8)):
        for name in ("cat", "dog"):
            folder = tmp_path / domain / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (number, 10, 10)).save(folder / f"{number}.png")
    given = {"root": str(tmp_path), "target": "photo", "network": "timm:resnet10t", "size": 32}
    given |= {"pretrained": False, "cache": False, "workers": 0}
    task = DomainsFamily(source=["sketch", "art"], **given).sample(0)
    assert task.sources == ("sketch", "art")
    listing = task.source_train
    assert len(task.source_of) == len(listing)
    share = task.description["images"]["source_train"] / 20
    assert int((task.source_of == 0).sum()) == round(12 * share)
    assert DomainsFamily(source="sketch", **given).sample(0).sources == ()


def test_digits_may_have_several_sources_that_are_drawn():
    psi = {"flat": {}, "wild": {"kind": "uniform"}}
    options = {"split": "train", "networks": 1, "width": 4, "pretrain_steps": 40}
    family = DigitsFamily(**options, source_images=65, sources=psi)
    task = family.sample(0)
    assert task.sources == ("flat", "wild")
    assert torch.bincount(task.source_of).tolist() == [33, 32]
    assert len(task.source_train) == 65
    again = family.sample(0)
    assert torch.equal(task.source_train.images, again.source_train.images)
    single = DigitsFamily(**options, source_images=65, psi={}).sample(0)
    assert torch.equal(task.target_test.images, single.target_test.images)
    loop = FineTuning(steps=3, guidance={}, source_weights={"flat": 1, "wild": 3})
    run = FineTune(task, loop)
    run.advance(3)
    assert run.step == 3
    with pytest.raises(ValueError, match=r"psi and sources=\['flat', 'wild'\] are both given"):
        DigitsFamily(**options, psi={}, sources=psi)
