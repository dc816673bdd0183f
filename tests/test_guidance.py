"""Guidance losses against plain references."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import pkgutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import l2o.guidance
from l2o.guidance import (
    COMPARED,
    GUIDANCE,
    FeatureL2,
    Guidance,
    GuidanceSum,
    ProxyKL,
    ScheduledWeight,
)
from l2o.guidance.weight import as_weight
from l2o.schedules import Cosine, Step


def plain_kl(student: Tensor, teacher: Tensor) -> float:
    """Sum p log(p / q) with bare floats, one prediction after another."""
    classes = student.shape[1]
    rows = student.movedim(1, -1).reshape(-1, classes).tolist()
    teachers = teacher.movedim(1, -1).reshape(-1, classes).tolist()
    total = 0.0
    for s, t in zip(rows, teachers):
        p = [math.exp(v) / sum(math.exp(u) for u in t) for v in t]
        q = [math.exp(v) / sum(math.exp(u) for u in s) for v in s]
        total += sum(a * math.log(a / b) for a, b in zip(p, q))
    return total / len(rows)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    pixels=st.lists(st.integers(1, 3), max_size=3),
    seed=st.integers(0, 999),
)
def test_equals_plain_loop(batch: int, classes: int, pixels: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, classes, *pixels)
    student, teacher = torch.randn(2, *shape, generator=generator, dtype=torch.float64) * 3
    expected = plain_kl(student, teacher)
    kl = ProxyKL(weight=0.3)
    assert kl.divergence(student, teacher).item() == pytest.approx(expected, abs=1e-12)
    assert kl(student, teacher).item() == pytest.approx(0.3 * expected, abs=1e-12)
    assert kl(student, teacher).dim() == 0
    single = kl.divergence(student.float(), teacher.float()).item()
    assert single == pytest.approx(expected, abs=1e-4)


def test_gradient_goes_to_the_student_alone() -> None:
    student, teacher = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64).unbind()
    student.requires_grad_()
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: ProxyKL(weight=2.0)(s, teacher), (student,))
    ProxyKL()(student, teacher).backward()
    assert teacher.grad is None
    flat = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    fixed = torch.randn(3, 4, dtype=torch.float64)
    ProxyKL(weight=1.0)(flat, fixed).backward()
    torch.testing.assert_close(flat.grad, (flat.detach().softmax(1) - fixed.softmax(1)) / 3)


def test_cap() -> None:
    student = torch.tensor([[5.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 5.0]])
    free = ProxyKL(weight=75.0)(student, teacher)
    capped = ProxyKL(weight=75.0, cap=9.0)(student, teacher)
    assert free.item() > 9.0
    assert capped.item() == 9.0
    capped.backward()
    assert student.grad is not None
    assert student.grad.abs().max() == 0.0
    below = ProxyKL(weight=0.01, cap=9.0)(student, teacher)
    assert below.item() == pytest.approx(free.item() / 7500)
    assert ProxyKL(cap=0.0)(student, teacher).item() == 0.0


def test_extreme_logits_stay_finite() -> None:
    student = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    value = ProxyKL(weight=1.0)(student, torch.tensor([[-1e4, 1e4, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx(2e4)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    masked = torch.tensor([[0.0, 1.0, -math.inf]])
    assert ProxyKL().divergence(torch.zeros(1, 3), masked).isfinite()
    both = masked.clone().requires_grad_()
    same = ProxyKL(weight=1.0)(both, masked)
    same.backward()
    assert same.item() == 0.0
    assert both.grad is not None
    assert torch.isfinite(both.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    student, teacher = torch.randn(2, 4, 5).to(dtype).unbind()
    value = ProxyKL().divergence(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(plain_kl(student, teacher), abs=1e-5)


def example(name: str) -> tuple[Guidance[Any], Any, Any]:
    """Return a term of weight 0.5, and a student and a teacher that it can compare."""
    options: dict[str, Any] = {"layers": {"last": 3}, "queue": 4} if name == "contrastive" else {}
    if name == "pyramid_consistency":
        options = {"layers": ["last"], "augment": None}
    if name == "si":
        options = {"importance": {"w": torch.rand(2, 3)}}
    term = GUIDANCE[name](weight=0.5, **options)
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    key = {"parameters": "w", "maps": "last"}.get(term.compares)
    return (term, student, teacher) if key is None else (term, {key: student}, {key: teacher})


def tensor_of(side: Any) -> Tensor:
    return next(iter(side.values())) if isinstance(side, dict) else side


@pytest.mark.parametrize("name", GUIDANCE)
def test_contract(name: str) -> None:
    guidance, student, teacher = example(name)
    assert guidance.compares in COMPARED
    guidance(student, teacher)  # a first key for the contrastive queue
    term = guidance(student, teacher)
    assert term.dim() == 0
    assert term.item() > 0.0
    term.backward()
    assert tensor_of(student).grad.abs().max() > 0
    assert tensor_of(teacher).grad is None
    assert guidance.weigh(torch.tensor(4.0)).item() == 2.0
    saved = copy.deepcopy(guidance.state_dict())
    other, *_ = example(name)
    other.load_state_dict(saved)
    # What follows depends on the state, and on nothing else that is not an argument.
    if name != "si":
        assert other(student, teacher).item() == guidance(student, teacher).item()
    assert bool(list(guidance.parameters())) == bool(saved)
    if name != "contrastive":
        assert guidance(student, student).item() == pytest.approx(0.0, abs=1e-6)
        with pytest.raises(ValueError, match="no state"):
            guidance.load_state_dict({"a": 1})
    for bad in ({"weight": -0.1}, {"weight": math.nan}, {"cap": -1.0}, {"cap": math.inf}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            GUIDANCE[name](**bad)


@pytest.mark.parametrize("name", GUIDANCE)
def test_weight_may_follow_a_schedule(name: str) -> None:
    guidance = GUIDANCE[name](weight={"schedule": "linear", "value": 0.4, "end": 0.5})
    for progress, weight in ((0.0, 0.4), (0.5, 0.3), (1.0, 0.2)):
        assert guidance.weight_at(progress) == pytest.approx(weight)
        assert guidance.weigh(torch.tensor(2.0), progress).item() == pytest.approx(2 * weight)
    assert GUIDANCE[name](weight=0.0).weigh(torch.tensor(3.0)).item() == 0.0


@pytest.mark.parametrize("name", GUIDANCE)
def test_terms_ask_for_what_they_need_of_the_pretraining(name: str) -> None:
    asked = []

    def importance() -> dict[str, Tensor]:
        asked.append(name)
        return {"w": torch.ones(2)}

    term = GUIDANCE[name](weight=0.5)
    ready = term.with_pretraining(importance)
    assert type(ready) is type(term)
    assert ready.weight == 0.5
    assert asked == (["si"] if name == "si" else [])
    assert ready.with_pretraining(importance) is ready
    assert term.measured_as == ("proxy_kl" if name == "proxy_kl" else None)


def test_a_schedule_s_wrong_argument_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"weight: schedule 'cosine' has no option 'ned'.*'end'"):
        as_weight({"schedule": "cosine", "ned": 0.1})


def test_scheduled_weights() -> None:
    weight = as_weight({"schedule": "step", "milestones": [0.5], "gamma": 0.5, "value": 3})
    assert weight == ScheduledWeight(3, Step((0.5,), 0.5))
    torch.testing.assert_close(weight.at(torch.tensor([0.0, 0.5])), torch.tensor([3.0, 1.5]))
    assert as_weight(Cosine()) == ScheduledWeight(1.0, Cosine())
    assert as_weight(weight) is weight
    for bad, message in (
        ({"value": 1.0}, "name a schedule"),
        ({"schedule": "cosin"}, "cosine"),
        ({"schedule": "cosine", "ends": 1}, "ends"),
        ({"schedule": "cosine", "value": -1}, "weight"),
        ("much", "weight"),
    ):
        with pytest.raises(ValueError, match=message):
            as_weight(bad)  # type: ignore[arg-type]


def test_terms_add_up() -> None:
    made = {name: example(name) for name in GUIDANCE}
    terms = {
        name: made[name][0]
        for name in GUIDANCE
        if name not in ("si", "contrastive", "pyramid_consistency")
    }
    terms["feature_l2"] = FeatureL2({"schedule": "linear", "value": 2.0})
    guidance = GuidanceSum(terms)
    student = {term.compares: made[name][1] for name, term in terms.items()}
    teacher = {term.compares: made[name][2] for name, term in terms.items()}
    total = guidance(student, teacher, progress=0.25)
    wanted = [t(student[t.compares], teacher[t.compares], 0.25).item() for t in terms.values()]
    assert total.item() == pytest.approx(sum(wanted))
    assert {k: v.item() for k, v in guidance.last.items()} == pytest.approx(
        dict(zip(terms, wanted))
    )
    assert guidance.needs == {"logits", "parameters", "features"}
    assert GuidanceSum({})({}, {}).item() == 0.0
    with pytest.raises(ValueError, match="teacher holds no logits"):
        guidance(student, {k: v for k, v in teacher.items() if k != "logits"})
    with pytest.raises(ValueError, match="build the same terms"):
        guidance.load_state_dict({})
    guidance.load_state_dict(guidance.state_dict())


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), r"\(2, 3\).*\(2, 4\)"),
        (torch.zeros(3), torch.zeros(3), "N, C"),
        (torch.zeros(0, 3), torch.zeros(0, 3), "empty"),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), "labels"),
    ],
)
def test_bad_logits(student: Tensor, teacher: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProxyKL()(student, teacher)


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(l2o.guidance.__path__)])
def test_docstrings_run(module: str) -> None:
    found = importlib.import_module(f"l2o.guidance.{module}")
    assert doctest.testmod(found, extraglobs={"torch": torch, "nn": nn}).failed == 0
