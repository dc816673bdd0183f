"""Cells of every kind, to be run stacked and one by one."""

import copy
import os
from functools import partial

import pytest
import torch
from test_stacked import in_double
from tiny import TinyFamily, TinyNetwork
from torch import nn

from l2o.benchmarks import make_plan
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.runner import run_here
from l2o.benchmarks.cells.stacked import Note
from l2o.benchmarks.cells.target_measures import ENERGIES
from l2o.benchmarks.comparisons.table.missing_cells import signals_of
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row
from l2o.deciding.bundle import save_policy
from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy
from l2o.envs.optimizers import SGD
from l2o.guidance import ProxyKL
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import Bins, LogRange
from l2o.profiles import PROFILES
from l2o.schedules import SCHEDULES
from l2o.signals import SIGNALS
from l2o.signals.spec import SignalSpec

WILD = {"Varied": 1e30, "Double": 1e32}
"""Base learning rates that no run survives, as large as configs take them."""
GUIDED = {"proxy_kl": {"weight": 2.0}}


class Deeper(TinyNetwork):
    """One hidden layer more."""

    def __init__(self, features=6, classes=3):
        super().__init__(features, classes)
        self.between = nn.Linear(8, 8)
        self.head = nn.Linear(8, classes)

    def forward_features(self, x):
        return self.second(self.between(self.first(x).tanh()).tanh()).tanh()


def deeper(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Deeper()


class Varied(TinyFamily):
    """Tasks of two architectures, of different length and size."""

    def sample(self, seed):
        task = TinyFamily("train", self.steps + 3 * (seed % 2), self.examples + seed).sample(seed)
        if seed % 2:
            model = deeper(seed)
            with torch.no_grad():
                teacher = model(task.source_train.images)
            changed = {"build_model": partial(deeper, seed), "proxy_head": model.head}
            task = type(task)(**{**vars(task), **changed, "teacher_logits": teacher})
        return task


class Double(Varied):
    """The same in float64."""

    def sample(self, seed):
        return in_double(super().sample(seed))


class Broken(Varied):
    """Some tasks cannot be made, some have no network, of some the labels are wrong."""

    def sample(self, seed):
        task = super().sample(seed)
        if seed == 1:
            raise OSError("no such data")
        if seed == 2:
            return type(task)(**{**vars(task), "build_model": no_model})
        if seed == 4:
            wrong = copy.copy(task.source_train)
            object.__setattr__(wrong, "labels", wrong.labels + 100)
            return type(task)(**{**vars(task), "source_train": wrong})
        return task


def no_model():
    raise AttributeError("no head")


class Counting(Policy):
    """A policy of somebody's own: with a state, and a signal that schedules do not have."""

    signals = SignalSpec(("present", "loss", "depth"))

    def initial_state(self, num_layers):
        return {"calls": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        calls = state["calls"] + 1
        return 1 / calls + observation[:, 1].abs(), {"calls": calls}


class Tires(Counting):
    """Fails at its third decision."""

    def __call__(self, observation, state):
        if state["calls"][0] >= 2:
            raise RuntimeError("no more")
        return super().__call__(observation, state)


class Negative(Policy):
    """Gives what no controller takes."""

    def __call__(self, observation, state):
        return -observation[:, 0], state


class Dies(Policy):
    """Takes its process with it, as a lack of memory would."""

    def __call__(self, observation, state):
        os._exit(1)


class OwnSGD(SGD):
    """An optimizer that nobody has stacked."""


class OwnGuidance(ProxyKL):
    """A guidance that nobody has stacked."""


def settings(family="Varied", steps=20, **changes):
    base = {
        "task": Named(name=f"stacked_cells:{family}", options={"steps": steps}),
        "tasks": 3,
        "seeds": 2,
        "finetuning": FineTuning(interval=5, guidance={"proxy_kl": {"weight": 0.3}}),
        "base_lr_factors": (0.1, 3.0),
        "evaluations": 3,
        "bootstrap": 50,
    }
    return BenchmarkConfig(**{**base, **changes})


def stacked_records(config):
    """Return the records of all cells, stacked, by id, and what was noted."""
    plan = make_plan(config)
    results = list(run_here(CellQueue(plan.cells, takers=1), signals_of(plan)))
    records = {result.id: result for result in results if not isinstance(result, Note)}
    assert len(records) == len(plan.cells) == sum(not isinstance(r, Note) for r in results)
    return records, [result.text for result in results if isinstance(result, Note)]


def assert_alike(mine, theirs, loss, images=0):
    """Records are equal but for times and rounding.

    Args:
        mine: stacked.
        theirs: alone.
        loss: relative tolerance of losses.
        images: of the 30 that accuracies are measured on, how many may be on another side.
    """
    same = ("id", "task_seed", "seed", "base_lr_factor", "error", "diverged", "chance", "steps")
    for key in same:
        assert getattr(mine, key) == getattr(theirs, key), key
    if theirs.error is not None:
        return
    assert_scores_alike(mine.scores, theirs.scores, loss, images)
    assert mine.measures.keys() == theirs.measures.keys()
    for key in ENERGIES:
        wanted = theirs.measures[key]
        if wanted is not None:
            wanted = pytest.approx(wanted, rel=max(100 * loss, 1e-5))
        assert mine.measures[key] == wanted, key
    if not images:
        assert mine.class_accuracy == theirs.class_accuracy
    for point, other in zip(mine.curve, theirs.curve, strict=True):
        assert point.step == other.step
        assert_scores_alike(point.scores, other.scores, loss, images)
        # Means over steps are float32, whatever the network is.
        assert_near(point.proxy_kl, other.proxy_kl, max(loss, 1e-6), mine.id)
    rates, others = mine.rates, theirs.rates
    for key in ("step", "groups", "base_lr"):
        assert getattr(rates, key) == getattr(others, key)
    for row, other in zip(rates.multipliers, others.multipliers, strict=True):
        assert row == pytest.approx(other, rel=2e-3)


def assert_scores_alike(mine, theirs, loss, images):
    assert mine.keys() == theirs.keys()
    for split, values in theirs.items():
        assert mine[split].keys() == values.keys()
        for metric, value in values.items():
            if metric == "loss":
                assert_near(mine[split][metric], value, loss, split)
            else:
                tolerance = images / 30 + 1.5e-6
                assert mine[split][metric] == pytest.approx(value, abs=tolerance), split


def assert_near(mine, theirs, tolerance, told):
    if theirs is None:
        assert mine is None, told
    else:
        assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance), told


def bundle(folder, range_, recurrent=False, signals=None):
    torch.manual_seed(0)
    signals = signals or SignalSpec()
    network = LayerPolicyNetwork(len(signals), range_.outputs, hidden=8, recurrent=recurrent)
    with torch.no_grad():
        # As drawn it gives every layer nearly the same.
        network.head[-1].weight.mul_(60)
    return str(save_policy(folder, LearnedPolicy(network, range_, signals), {"name": "untrained"}))


def rows_of_every_kind(folder, family):
    # Of a KL near zero float32 holds few digits, and its logarithm is all noise.
    every = SignalSpec(tuple(s for s in SIGNALS if family == "Double" or "proxy_kl" not in s))
    fewer = SignalSpec(("present", "depth", "loss", "gradient_norm", "validation_loss"))
    learned = {
        "log": bundle(folder / "log", LogRange(0.01, 1.0), signals=every),
        "memory": bundle(folder / "memory", LogRange(0.01, 1.0), recurrent=True, signals=every),
        "bins": bundle(folder / "bins", Bins(), signals=fewer),
    }
    rows = [Row(label=label, policy=policy) for label, policy in learned.items()]
    rows += [
        Row(label=f"{schedule} {profile}", schedule=schedule, profile=profile)
        for schedule, profile in zip(SCHEDULES, 2 * list(PROFILES), strict=False)
    ]
    mine = "stacked_cells"
    return [
        *rows,
        Row(label="told", policy=learned["bins"], early_stopping={}),
        Row(label="stops", schedule="cosine", early_stopping={"patience": 1}),
        Row(label="waits", profile="small_backbone", early_stopping={"patience": 2}),
        Row(label="budget", early_stopping={"patience": None, "budget": 0.4}),
        Row(label="plain", guidance={}),
        Row(label="strong", guidance=GUIDED, schedule="linear"),
        Row(label="capped", guidance={"proxy_kl": {"weight": 5.0, "cap": 0.01}}),
        Row(label="auto-rgn", rule="auto_rgn"),
        Row(label="drawn", rule="random"),
        Row(label="drawn anew", rule=Named(name="random", options={"redraw": True, "high": 1.0})),
        Row(
            label="rmsprop",
            optimizer=Named(name="rmsprop", options={"eps": 0.1}),
            base_lr_factors=(0.01,),
        ),
        Row(label="absolute", optimizer="adam", base_lr=0.001),
        Row(label="own", policy=f"{mine}:Counting"),
        Row(label="fails", policy=f"{mine}:Tires"),
        Row(label="negative", policy=f"{mine}:Negative"),
        Row(label="options", schedule=Named(name="step", options={"milestones": [0.2]})),
        Row(label="wild", base_lr=WILD[family]),
        Row(label="wild, learned", policy=learned["log"], base_lr=WILD[family]),
    ]
