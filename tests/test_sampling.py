"""Samples of large tensors: what they estimate, on easy and on hard tensors, and how they lie."""

import math

import numpy as np
import pytest
import torch
from sampled_models import NEEDS, TIGHT, convolutions, meter_of
from torch import nn

import l2o
from l2o.measuring import sampling
from l2o.measuring.reader import DOT, DRIFT, GRADIENT, UPDATE, WEIGHT, Reader
from l2o.measuring.sampling import BUDGET, RUN, Budget, Sample, _uniform


def test_counts_of_well_known_models_stay_within_the_budget():
    resnet = [64 * 3 * 49, *[64] * 30, *[256] * 40, *[2048] * 12, *[2048 * 512] * 6, 512 * 512 * 9]
    bert = [30522 * 768, *[768] * 74, *[768 * 768] * 48, *[768 * 3072] * 24, *[3072] * 12]
    for sizes in (resnet, bert):
        counts = BUDGET.counts(sizes)
        most = max(BUDGET.least, BUDGET.share * sum(sizes))
        assert sum(counts) <= most
        assert all(min(s, BUDGET.floor) <= c <= s for s, c in zip(sizes, counts, strict=True))
    small = [1 << 19, 1 << 19]
    assert BUDGET.counts(small) == small
    assert sum(BUDGET.counts([*small, 4])) < sum(small)


def test_the_draw_is_the_same_for_ever():
    """Samples in checkpoints are of places that are drawn anew."""
    drawn = _uniform(7, 3)
    assert drawn.tolist() == pytest.approx(_reference(7, 3), abs=0)
    sample = Sample(torch.zeros(1000), 40)
    assert torch.equal(
        sample.take(torch.arange(1000.0)), Sample(torch.zeros(1000), 40).take(torch.arange(1000.0))
    )


def _reference(seed, count):
    """SplitMix64's output function in plain integers."""
    mask, found = (1 << 64) - 1, []
    for k in range(1, count + 1):
        z = (k + seed) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        found.append(((z ^ (z >> 31)) >> 11) * 2.0**-53)
    return found


def test_runs_lie_in_every_stretch_and_are_of_the_tensor():
    sample = Sample(torch.zeros(100_000), 1000)
    places = sample.take(torch.arange(100_000.0)).view(-1, RUN).long()
    assert torch.equal(places - places[:, :1], torch.arange(RUN).expand(250, RUN))
    assert torch.equal(places[:, 0] // 400, torch.arange(250))
    assert sample.scale == 100.0


@pytest.mark.parametrize("shape", [(40, 30), (1201,), (7, 11, 13), (5, 4, 3, 3)])
def test_a_sum_over_everything_alike_is_right(shape):
    tensor = torch.full(shape, 3.0)
    sample = Sample(tensor, 100)
    assert float(sample.take(tensor).sum()) * sample.scale == pytest.approx(float(tensor.sum()))


def test_tensors_that_lie_otherwise_are_read_at_the_same_elements():
    images = torch.randn(8, 16, 5, 5)
    lasting = images.contiguous(memory_format=torch.channels_last)
    sample = Sample(lasting, 200)
    assert torch.equal(sample.take(lasting), sample.take(images))
    turned = torch.randn(40, 30).t()
    sample = Sample(turned, 200)
    assert torch.equal(sample.take(turned), sample.take(turned.contiguous()))
    wide = torch.randn(40, 60)[:, ::2]
    assert torch.equal(Sample(wide, 200).take(wide), Sample(wide, 200).take(wide.clone()))


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="1000 elements"):
        Sample(torch.zeros(1000), 40).take(torch.zeros(2000))


def draws(make, count=4000, sizes=range(300_000, 300_200, 4)):
    """Return estimates over the exact sum of squares, over draws of places and of tensors."""
    ratios = []
    for size in sizes:
        tensor = make(size)
        taken = Sample(tensor, count)
        exact = float(tensor.double().square().sum())
        ratios.append(float(taken.take(tensor).double().square().sum()) * taken.scale / exact)
    return np.array(ratios)


def gaussian(size):
    return torch.randn(size)


def heavy_tails(size):
    return torch.distributions.StudentT(5.0).sample((size,))


def low_rank(size):
    rows = size // 500
    return torch.randn(rows, 1) @ torch.randn(1, 500)


def outlier_channels(size):
    """Three of 768 columns hold most of the norm."""
    tensor = torch.randn(size // 768, 768)
    tensor[:, [3, 300, 767]] *= 20.0
    return tensor


def outlier_rows(size):
    tensor = torch.randn(size // 500, 500)
    tensor[::40] *= 10.0
    return tensor


def sparse_rows(size):
    """An embedding, of whose rows one in twelve was used."""
    tensor = torch.zeros(size // 100, 100)
    used = torch.randperm(len(tensor))[: len(tensor) // 12]
    tensor[used] = torch.randn(len(used), 100)
    return tensor


CASES = {
    "gaussian": (gaussian, 0.05),
    "heavy tails": (heavy_tails, 0.20),
    "low rank": (low_rank, 0.20),
    "outlier channels": (outlier_channels, 0.40),
    "outlier rows": (outlier_rows, 0.30),
    "sparse rows": (sparse_rows, 0.20),
}
"""Tensor -> the largest standard deviation of the estimate over the exact sum of squares."""


@pytest.mark.parametrize(("make", "most"), CASES.values(), ids=CASES)
def test_estimates_are_right_in_the_mean_and_near_in_each_case(make, most):
    torch.manual_seed(0)
    ratios = draws(make)
    spread = float(ratios.std(ddof=1))
    assert spread <= most
    assert abs(ratios.mean() - 1.0) <= 4.0 * spread / math.sqrt(len(ratios))


def test_every_run_is_read_equally_often():
    """Over many seeds: what makes estimates right in the mean, whatever the tensor is."""
    runs, count, seeds = 97, 10, 4000
    rows = (np.arange(count) + _uniform(1, count * seeds).reshape(seeds, count)) * (runs / count)
    counts = np.bincount(rows.astype(int).ravel(), minlength=runs)
    expected = count * seeds / runs
    assert np.square(counts - expected).sum() / expected < runs + 5 * math.sqrt(2 * runs)


# The reader ---------------------------------------------------------------------------------------

CHANGES = {
    "plain": lambda model: model,
    "double": lambda model: model.double(),
    "bfloat16": lambda model: model.to(torch.bfloat16),
    "channels_last": lambda model: model.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_sampled_reading_is_near_the_exact_one(change):
    model = change(convolutions())
    parameters = list(model.parameters())
    dtype = parameters[0].dtype
    readers = [Reader(parameters, NEEDS), Reader(parameters, NEEDS, budget=TIGHT)]
    assert [len(reader._views.sampled) > 0 for reader in readers] == [False, True]
    start = [reader.read(False)[0][WEIGHT] for reader in readers]
    np.testing.assert_allclose(start[1], start[0], rtol=1e-2 if dtype is torch.bfloat16 else 1e-5)
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    for _ in range(4):
        for reader in readers:
            reader.before_step()
        optimizer.zero_grad()
        model(torch.randn(8, 16, 8, 8, dtype=dtype)).float().square().mean().backward()
        optimizer.step()
    exact, estimated = (reader.read(True)[0] for reader in readers)
    large = [i for i, p in enumerate(parameters) if p.numel() > 2000]
    for row, near in ((GRADIENT, 0.5), (UPDATE, 0.5), (DRIFT, 0.5), (WEIGHT, 0.05)):
        np.testing.assert_allclose(estimated[row, large], exact[row, large], rtol=near)
    cosine = [
        sums[DOT, large] / np.sqrt(sums[GRADIENT, large] * sums[UPDATE, large])
        for sums in (exact, estimated)
    ]
    np.testing.assert_allclose(cosine[1], cosine[0], atol=0.15)
    assert (np.abs(cosine[1]) <= 1.0 + 1e-5).all()


def test_gradients_that_lie_otherwise_than_weights_are_read_alike():
    parameter = nn.Parameter(torch.randn(32, 16, 3, 3).to(memory_format=torch.channels_last))
    parameter.grad = torch.randn(32, 16, 3, 3)
    other = nn.Parameter(parameter.detach().clone())
    other.grad = parameter.grad.to(memory_format=torch.channels_last)
    found = [Reader([p], NEEDS, budget=TIGHT).read(True)[0] for p in (parameter, other)]
    np.testing.assert_array_equal(*found)


def test_complex_and_sparse_tensors_are_sampled():
    weights = nn.Parameter(torch.randn(100, 50, dtype=torch.complex64))
    weights.grad = torch.randn_like(weights)
    found, _ = Reader([weights], NEEDS, budget=TIGHT).read(True)
    assert found[GRADIENT, 0] == pytest.approx(float(weights.grad.abs().square().sum()), rel=0.3)
    embedding = nn.Embedding(1000, 20, sparse=True)
    embedding(torch.arange(0, 1000, 3)).sum().backward()
    found, _ = Reader([embedding.weight], NEEDS, budget=TIGHT).read(True)
    exact = float(embedding.weight.grad.to_dense().square().sum())
    assert found[GRADIENT, 0] == pytest.approx(exact, rel=0.3)


@pytest.mark.parametrize("width", [1, 3, 20, 64])
def test_a_sparse_gradient_is_read_as_a_dense_one_and_never_made_dense(width, monkeypatch):
    embedding = nn.Embedding(1000, width, sparse=True)
    embedding(torch.tensor([0, 7, 7, *range(20, 600, 3), 999])).square().sum().backward()
    reader = Reader([embedding.weight], NEEDS, budget=TIGHT)
    sparse, dense = embedding.weight.grad, embedding.weight.grad.to_dense()
    monkeypatch.setattr(torch.Tensor, "to_dense", None)
    found, _ = reader.read(True)
    embedding.weight.grad = None
    embedding.weight.grad = dense
    np.testing.assert_array_equal(found, reader.read(True)[0])
    embedding.weight.grad = None
    embedding.weight.grad = (sparse * 0.0).coalesce().clone().mul_(0.0)
    assert reader.read(True)[0][GRADIENT, 0] == 0.0
    embedding.weight.grad = None
    nothing = torch.empty(1, 0, dtype=torch.long), torch.empty(0, width)
    embedding.weight.grad = torch.sparse_coo_tensor(*nothing, (1000, width))
    assert reader.read(True)[0][GRADIENT, 0] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_in_a_sample_is_inf(bad):
    parameters = [nn.Parameter(torch.randn(5000))]
    reader = Reader(parameters, NEEDS, budget=TIGHT)
    parameters[0].grad = torch.full((5000,), bad)
    with torch.no_grad():
        parameters[0].fill_(bad)
    found, _ = reader.read(True)
    assert found[GRADIENT, 0] == found[WEIGHT, 0] == found[DRIFT, 0] == math.inf


def test_small_models_are_read_whole_and_bit_equal():
    model = nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1000, 40))
    reader = Reader(list(model.parameters()), NEEDS)
    assert not reader._views.sampled
    assert [kept.shape for kept in reader.start] == [p.shape for p in model.parameters()]


# Memory -------------------------------------------------------------------------------------------


def test_what_is_held_of_a_large_model_is_next_to_nothing():
    from l2o.benchmarks.speed.footprint import held_bytes

    parameters = [nn.Parameter(torch.zeros(3000, 1000)) for _ in range(10)]
    reader = Reader(parameters, NEEDS)
    for _ in range(2):
        reader.before_step()
        for parameter in parameters:
            parameter.grad = parameter.detach()
        reader.read(True)
    theirs = {p.untyped_storage().data_ptr() for p in parameters}
    assert held_bytes(reader, theirs) <= 0.02 * 4 * 30_000_000
    assert sum(len(entry["sample"]) for entry in reader.start_state()) <= 0.0055 * 30_000_000


# Policies and checkpoints -------------------------------------------------------------------------


def trained(policy, steps=30, seed=0):
    """Return the multipliers of all decisions."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    controller = l2o.LRController(
        l2o.load_policy(policy), optimizer, model, total_steps=steps, interval=5
    )
    for step in range(steps):
        x, y = torch.randn(32, 64), torch.randint(0, 10, (32,))
        loss = nn.functional.cross_entropy(model(x), y)
        # Labels are drawn, so the loss is noise, in which the guard would see a standstill or not.
        controller.observe(loss=2.3 * 0.98**step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array([decision.multipliers for decision in controller.history])


@pytest.mark.parametrize("policy", ["asg-base", "asg-lite", "asg-wide"])
@pytest.mark.parametrize(("share", "rtol"), [(0.25, 0.08), (0.02, 0.2)])
def test_policies_decide_alike_by_sample(policy, share, rtol, monkeypatch):
    """Over a whole run, where deviations feed back: by thousands of elements, and by hundreds."""
    exact = trained(policy)
    budget = Budget(whole=0, share=share, least=0, floor=256)
    monkeypatch.setattr(sampling, "BUDGET", budget)
    estimated = trained(policy)
    np.testing.assert_allclose(estimated[0], exact[0], rtol=1e-4)  # weights are known exactly
    np.testing.assert_allclose(estimated, exact, rtol=rtol)


def test_the_meter_sees_updates_as_if_there_were_no_schedule():
    def measured(schedule, factor):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2))
        meter = meter_of(model)
        model(torch.ones(5, 3)).square().sum().backward()
        meter.before_step()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=0.1 * factor)
        return meter.measure(1, torch.ones(3), [0.1] * 3, schedule)

    plain, half = measured(None, 1.0), measured([0.5] * 3, 0.5)
    for name in ("update_norm", "gradient_dot_update", "gradient_norm"):
        torch.testing.assert_close(getattr(half, name), getattr(plain, name))
    missing = measured([0.0, math.nan, 1.0], 1.0)
    for name in ("update_norm", "gradient_dot_update"):
        assert getattr(missing, name).isnan().tolist() == [True, True, False]
    assert missing.gradient_norm.isfinite().all()
