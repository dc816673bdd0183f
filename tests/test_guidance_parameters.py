"""Guidance on parameters and features: L2-SP, synaptic intelligence, feature L2."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from l2o.guidance import (
    L2SP,
    FeatureL2,
    ImportanceTracker,
    SynapticIntelligence,
    backbone_parameters,
    copy_parameters,
    estimate_importance,
)

SHAPES = {"conv": (2, 1, 2, 2), "bias": (3,), "scale": ()}


def draw(seed: int, shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(s, generator=generator, dtype=torch.float64) for k, s in shapes.items()}


def plain_distance(
    student: dict[str, Tensor], start: dict[str, Tensor], factors: dict[str, Tensor] | None = None
) -> float:
    """Sum f (θ - θ₀)² with bare floats."""
    total = 0.0
    for name, tensor in student.items():
        pairs = zip(tensor.flatten().tolist(), start[name].flatten().tolist())
        chosen = [1.0] * tensor.numel() if factors is None else factors[name].flatten().tolist()
        total += sum(f * (a - b) ** 2 for (a, b), f in zip(pairs, chosen))
    return total


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), weight=st.floats(0, 10))
def test_distances_equal_plain_loops(seed: int, weight: float) -> None:
    student, start = draw(seed), draw(seed + 1)
    importance = {k: v.abs() for k, v in draw(seed + 2).items()}
    l2 = L2SP(weight)(student, start).item()
    assert l2 == pytest.approx(weight / 2 * plain_distance(student, start), abs=1e-12)
    si = SynapticIntelligence(weight, importance=importance)(student, start).item()
    assert si == pytest.approx(weight * plain_distance(student, start, importance), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 4),
    width=st.integers(1, 5),
    pixels=st.lists(st.integers(1, 3), max_size=2),
    seed=st.integers(0, 999),
)
def test_feature_l2_equals_plain_loop(batch: int, width: int, pixels: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, width, *pixels)
    student, teacher = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    rows = student.movedim(1, -1).reshape(-1, width).tolist()
    others = teacher.movedim(1, -1).reshape(-1, width).tolist()
    total = sum((a - b) ** 2 for row, other in zip(rows, others) for a, b in zip(row, other))
    value = FeatureL2(weight=0.7)(student, teacher).item()
    assert value == pytest.approx(0.7 * total / len(rows), abs=1e-12)


def test_gradients() -> None:
    start, importance = draw(1), {k: v.abs() for k, v in draw(2).items()}
    leaves = [v.requires_grad_() for v in draw(0).values()]
    for term in (L2SP(3.0), SynapticIntelligence(2.0, importance=importance)):
        assert torch.autograd.gradcheck(lambda *v, t=term: t(dict(zip(SHAPES, v)), start), leaves)
    features = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: FeatureL2(1.5)(f, teacher.detach()), (features,))
    student = dict(zip(SHAPES, leaves))
    L2SP(weight=0.5)(student, start).backward()
    for name, leaf in student.items():
        torch.testing.assert_close(leaf.grad, 0.5 * (leaf.detach() - start[name]))


def test_cap_ends_the_pull() -> None:
    student = {"w": torch.tensor([2.0, 0.0], requires_grad=True)}
    start = {"w": torch.zeros(2)}
    capped = L2SP(weight=1.0, cap=1.5)(student, start)
    capped.backward()
    assert capped.item() == 1.5
    assert student["w"].grad.tolist() == [0.0, 0.0]
    below = L2SP(weight=0.5, cap=1.5)(student, start)
    below.backward()
    assert below.item() == 1.0
    assert student["w"].grad.tolist() == [1.0, 0.0]


def test_path_integral_by_hand() -> None:
    """Loss 2a² + ab on a fixed path of two SGD steps; all numbers worked out on paper.

    (a, b) = (1, 2): g = (4a + b, a) = (6, 1), lr 0.1 -> Δθ = (-0.6, -0.1), ω = (3.6, 0.1).
    (0.4, 1.9): g = (3.5, 0.4) -> Δθ = (-0.35, -0.04), ω = (3.6 + 1.225, 0.1 + 0.016).
    Altogether Δ = (-0.95, -0.14).
    """
    point = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=0.1)
    tracker = ImportanceTracker({"w": point}, damping=0.5)
    stop = tracker.attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        (2 * point[0] ** 2 + point[0] * point[1]).backward()
        optimizer.step()
    expected = [4.825 / (0.95**2 + 0.5), 0.116 / (0.14**2 + 0.5)]
    assert tracker.importance()["w"].tolist() == pytest.approx(expected, abs=1e-12)
    stop()
    optimizer.zero_grad()
    point.sum().backward()
    optimizer.step()
    moved = [4.825 / (1.05**2 + 0.5), 0.116 / (0.24**2 + 0.5)]
    assert tracker.importance()["w"].tolist() == pytest.approx(moved, abs=1e-12)


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.RMSprop])
def test_path_integral_against_a_loop(make: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(3)
    model = nn.Linear(3, 2).double()
    named = dict(model.named_parameters())
    optimizer = make(model.parameters(), lr=0.05)
    tracker = ImportanceTracker(named, damping=0.01)
    tracker.attach(optimizer)
    first = {k: p.detach().flatten().tolist() for k, p in named.items()}
    integral = {k: [0.0] * p.numel() for k, p in named.items()}
    for _ in range(5):
        model(torch.randn(4, 3, dtype=torch.float64)).square().sum().backward()
        before = {k: p.detach().flatten().tolist() for k, p in named.items()}
        gradients = {k: p.grad.flatten().tolist() for k, p in named.items()}
        optimizer.step()
        optimizer.zero_grad()
        for k, p in named.items():
            now = p.detach().flatten().tolist()
            for i in range(len(now)):
                integral[k][i] -= gradients[k][i] * (now[i] - before[k][i])
    for k, omega in tracker.importance().items():
        last = named[k].detach().flatten().tolist()
        wanted = [
            max(w, 0.0) / ((b - a) ** 2 + 0.01) for w, a, b in zip(integral[k], first[k], last)
        ]
        assert omega.flatten().tolist() == pytest.approx(wanted, rel=1e-9)


def test_tracker_over_tasks_and_through_a_checkpoint() -> None:
    weight = torch.tensor([1.0], requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.5)

    def step(tracker: ImportanceTracker, slope: float) -> None:
        tracker.before_step()
        weight.grad = torch.tensor([slope])
        optimizer.step()
        tracker.after_step()

    tracker = ImportanceTracker({"w": weight}, damping=1.0)
    step(tracker, 2.0)  # ω = 2 · 1, Δ = 1
    assert tracker.importance()["w"].item() == pytest.approx(1.0)
    tracker.consolidate()
    assert tracker.importance()["w"].item() == pytest.approx(1.0)
    other = ImportanceTracker({"w": weight}, damping=1.0)
    other.load_state_dict(tracker.state_dict())
    step(other, -4.0)  # ω = 4 · 2, Δ = 2
    assert other.importance()["w"].item() == pytest.approx(1.0 + 8 / 5)
    with pytest.raises(ValueError, match="past must hold"):
        other.load_state_dict({**tracker.state_dict(), "past": {}})
    for bad in ({"parameters": {}}, {"parameters": {"w": weight}, "damping": 0.0}):
        with pytest.raises(ValueError):
            ImportanceTracker(**bad)


def test_loss_that_rises_gives_no_negative_importance() -> None:
    weight = torch.tensor([0.0], requires_grad=True)
    tracker = ImportanceTracker({"w": weight})
    tracker.before_step()
    weight.grad = torch.tensor([1.0])
    with torch.no_grad():
        weight += 1.0
    tracker.after_step()
    assert tracker.importance()["w"].item() == 0.0


def test_estimate_is_half_the_fisher_information() -> None:
    """Against the closed form: for logits z = Wx, F of W_cd is the mean of p_c (1 - p_c) x_d²."""
    torch.manual_seed(0)
    model = nn.Linear(2, 2, bias=False).double()
    images = torch.randn(3, 2, dtype=torch.float64).repeat(1500, 1)
    found = estimate_importance(model, images, dict(model.named_parameters()))["weight"]
    p = model(images).softmax(1)
    exact = ((p * (1 - p))[:, :, None] * images.square()[:, None, :]).mean(0) / 2
    torch.testing.assert_close(found, exact.detach(), rtol=0.1, atol=1e-3)
    again = estimate_importance(model, images[:9], dict(model.named_parameters()), seed=4)
    same = estimate_importance(model, images[:9], dict(model.named_parameters()), seed=4)
    assert torch.equal(again["weight"], same["weight"])
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="proxy images"):
        estimate_importance(model, images[:0], dict(model.named_parameters()))


def test_estimate_equals_a_gathered_one_on_a_quadratic_bowl() -> None:
    """What it claims to estimate: Ω of a path through a loss ½ h θ² is h / 2 (small steps)."""
    curvature = torch.tensor([1.0, 4.0], dtype=torch.float64)
    point = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=1e-2)
    tracker = ImportanceTracker({"w": point}, damping=1e-6)
    tracker.attach(optimizer)
    for _ in range(800):
        optimizer.zero_grad()
        (curvature * point.square()).sum().div(2).backward()
        optimizer.step()
    torch.testing.assert_close(tracker.importance()["w"], curvature / 2, rtol=0.03, atol=0)


def test_backbone_leaves_the_head_out() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    model[1].requires_grad_(False)
    assert list(backbone_parameters(model)) == ["0.weight", "0.bias"]
    assert list(backbone_parameters(model, head="0")) == ["2.weight", "2.bias"]
    start = copy_parameters(backbone_parameters(model))
    assert not start["0.weight"].requires_grad
    assert start["0.weight"].data_ptr() != model[0].weight.data_ptr()
    model[0].requires_grad_(False)
    with pytest.raises(ValueError, match="outside the head"):
        backbone_parameters(model)


def test_bad_pairs() -> None:
    one = {"w": torch.zeros(2)}
    for term, student, teacher, message in (
        (L2SP(), one, {}, "'w' has no start"),
        (L2SP(), {}, one, "no parameters"),
        (L2SP(), one, {"w": torch.zeros(3)}, r"\(2,\).*\(3,\)"),
        (SynapticIntelligence(), one, one, "ImportanceTracker"),
        (SynapticIntelligence(importance={}), one, one, "'w' has no importance"),
        (FeatureL2(), torch.zeros(2, 3), torch.zeros(3, 3), r"\(2, 3\).*\(3, 3\)"),
        (FeatureL2(), torch.zeros(2), torch.zeros(2), r"N, D"),
        (FeatureL2(), torch.zeros(2, 3), torch.zeros(2, 3).long(), "floating"),
    ):
        with pytest.raises(ValueError, match=message):
            term(student, teacher)


def test_half_precision_is_computed_in_single() -> None:
    student, teacher = torch.full((2, 300), 200.0).half(), torch.zeros(2, 300).half()
    assert FeatureL2(1.0)(student, teacher).item() == 300 * 200.0**2
    assert L2SP(1.0)({"w": student}, {"w": teacher}).item() == 300 * 200.0**2
    assert math.isfinite(FeatureL2(1.0)(student, teacher).item())
