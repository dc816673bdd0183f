"""Guidance of stacked fine-tunes equals that of single ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from test_stacked import (
    GUIDED,
    LAYERS,
    advance,
    assert_equal,
    assert_scores_equal,
    in_double,
    pair,
)
from tiny import TinyFamily, TinyNetwork
from torch import Tensor, nn

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.guidance import STACKED_GUIDANCE
from l2o.envs.stacked.guidance.terms import weights_over
from l2o.envs.stacked.memory import predict_memory
from l2o.envs.tasks import Examples, Task
from l2o.envs.tasks.digits.family import DigitsFamily
from l2o.guidance import GUIDANCE, ProxyKL
from l2o.guidance.pyramid import PyramidConsistency
from l2o.guidance.weight import as_weight
from l2o.measures import joined


class Own(ProxyKL):
    """A term of somebody's own."""


def config(guidance: dict[str, Any], **rest: Any) -> FineTuning:
    return FineTuning.model_validate({"guidance": guidance, "interval": 4, **rest})


def test_what_is_stacked() -> None:
    """Every term; a new one is stacked, or left out here on purpose."""
    # Pyramid consistency runs the network several times over, on other images of its own.
    assert set(STACKED_GUIDANCE) == {*GUIDANCE.values()} - {PyramidConsistency}
    own = f"{__name__}:Own"
    with pytest.raises(ValueError, match=f"{own} has no stacked form"):
        StackedFineTune(config({"proxy_kl": {}, own: {}}), 1, 4)


@pytest.mark.parametrize("guidance", GUIDED, ids=lambda g: "+".join(g) or "none")
@pytest.mark.parametrize("substitute", [True, False])
def test_equals_single_runs(guidance: dict[str, Any], substitute: bool) -> None:
    """All steps, the windows that runs end in, too; runs differ in length and task."""
    starts = [
        Start(in_double(TinyFamily(steps=steps, examples=size).sample(steps)), steps, 0.03)
        for steps, size in ((9, 40), (13, 33))
    ]
    runs, singles = pair(starts, config(guidance), substitute=substitute)
    while not runs.done.all():
        advance(runs, singles, torch.full((2, LAYERS), 0.8))
        assert_equal(runs, singles, 1e-9)
    assert_scores_equal(runs, singles, 1e-9)


@pytest.fixture(scope="module")
def digits() -> list[Task]:
    family = DigitsFamily(networks=2, pretrain_steps=20, steps=10)
    return [family.sample(seed) for seed in range(3)]


@pytest.mark.parametrize("guidance", GUIDED[3:], ids=lambda g: "+".join(g))
def test_equals_single_runs_on_digits(digits: list[Task], guidance: dict[str, Any]) -> None:
    """In single precision, with the kernels where there are any; ten steps with each other."""
    starts = [Start(task, seed, 0.01) for seed, task in enumerate(digits)]
    runs, singles = pair(starts, config(guidance, interval=5), layers=6)
    while not runs.done.all():
        advance(runs, singles, torch.ones(3, 6))
    for number, single in enumerate(singles):
        weights = runs.weights(number)
        for name, parameter in single.model.named_parameters():
            torch.testing.assert_close(weights[name], parameter.detach(), atol=1e-5, rtol=1e-4)


def test_each_run_may_have_its_own_weights() -> None:
    weights: list[dict[str, Any]] = [
        {"l2_sp": 0.0, "feature_l2": 0.5},
        {"l2_sp": {"schedule": "cosine", "value": 3.0}},
        {},
    ]
    guidance = {"l2_sp": {"weight": 1.0}, "feature_l2": {"weight": 0.1, "cap": 0.2}}
    tasks = [in_double(TinyFamily(steps=10).sample(seed)) for seed in range(3)]
    runs = StackedFineTune(config(guidance), 3, LAYERS)
    runs.reset({n: Start(t, n, 0.03, guidance_weights=weights[n]) for n, t in enumerate(tasks)})
    singles = []
    for number, task in enumerate(tasks):
        mine = {
            k: {**o, "weight": weights[number].get(k, o["weight"])} for k, o in guidance.items()
        }
        singles.append(FineTune(task, config(mine), base_lr=0.03, seed=number, signals=runs.spec))
    while not runs.done.all():
        advance(runs, singles, torch.ones(3, LAYERS))
        assert_equal(runs, singles, 1e-9)


def test_runs_that_begin_anew_are_held_at_their_own_start() -> None:
    guidance = {"si": {"weight": 1.0}, "l2_sp": {"weight": 0.5}, "feature_l2": {"weight": 0.2}}
    tasks = [in_double(TinyFamily(steps=8).sample(seed)) for seed in range(3)]
    runs, singles = pair([Start(task, 0, 0.03) for task in tasks[:2]], config(guidance))
    advance(runs, singles, torch.ones(2, LAYERS))
    runs.reset({1: Start(tasks[2], 5, 0.02)})
    singles[1] = FineTune(tasks[2], config(guidance), base_lr=0.02, seed=5, signals=runs.spec)
    while not runs.done.all():
        advance(runs, singles, torch.ones(2, LAYERS))
        assert_equal(runs, singles, 1e-9)


class Dense(TinyNetwork):
    """Features are maps `[N, C, 2, 2]`; the head pools them."""

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x).unflatten(1, (2, 2, 2)).movedim(1, 3)

    def forward_head(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class DenseProxy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def make_dense(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Dense().double()


def test_features_that_are_maps() -> None:
    task = in_double(TinyFamily(steps=6).sample(1))
    head = DenseProxy(8, 3).double().requires_grad_(False)
    task = replace(task, build_model=partial(make_dense, 4), proxy_head=head)
    runs, singles = pair([Start(task, 0, 0.03)], config({"feature_l2": {"weight": 0.3}}))
    while not runs.done.all():
        advance(runs, singles, torch.ones(1, LAYERS))
        assert_equal(runs, singles, 1e-9)


def test_unknown_importance_is_said_at_reset() -> None:
    task = replace(TinyFamily().sample(0), importance=None)
    runs = StackedFineTune(config({"si": {}}), 1, LAYERS)
    with pytest.raises(ValueError, match="ImportanceTracker"):
        runs.reset({0: Start(task)})


def test_weights_over_a_fine_tune() -> None:
    schedule = as_weight({"schedule": "linear", "value": 2.0})
    assert weights_over(schedule, 4).tolist() == [2.0, 1.5, 1.0, 0.5]
    for step in range(4):
        assert schedule.at(step / 4) == weights_over(schedule, 4)[step]  # type: ignore[union-attr]


def test_memory_counts_what_guidance_keeps() -> None:
    task = TinyFamily(examples=400).sample(0)
    need = [
        predict_memory(Start(task), StackedFineTune(config(g), 1, LAYERS), []).each
        for g in ({}, {"l2_sp": {}}, {"feature_l2": {}})
    ]
    parameters = sum(p.numel() for p in task.build_model().parameters()) * 4
    steps = task.steps * 8
    assert need[1] - need[0] == parameters + steps
    assert need[2] - need[0] >= 400 * 8 * 4 + steps
    assert isinstance(task.source_train, Examples)


def test_outputs_are_those_of_single_runs() -> None:
    starts = [
        Start(in_double(TinyFamily(steps=8, examples=size).sample(size)), size, 0.03)
        for size in (40, 20)
    ]
    for substitute in (True, False):
        runs, singles = pair(starts, config({}), substitute=substitute)
        advance(runs, singles, torch.ones(2, LAYERS))
        found = runs.outputs("target_test", [0, 1])
        assert set(runs.outputs("target_test", [1])) == {1}
        for number, single in enumerate(singles):
            fields = ("logits", "labels", "features")
            mine, theirs = found[number], joined(single.outputs("target_test"), *fields)
            for field in fields:
                torch.testing.assert_close(
                    getattr(mine, field), getattr(theirs, field), atol=1e-10, rtol=1e-10
                )
