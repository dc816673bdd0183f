"""A small zero-shot comparison, its policies, and made-up results that a hand can do sums on."""

import torch

from l2o.benchmarks import make_plan
from l2o.benchmarks.cells.record import LearningRates, Record
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.configs.load import check_config, load_config
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.policy import Policy

TINY = {"name": "tiny:TinyFamily", "options": {"split": "heldout"}}

SCORES = {
    "Halve": {0.1: 0.6, 1.0: 0.7, 10.0: 0.65},
    "flat": {0.1: 0.3, 1.0: 0.5, 3.0: 0.6, 10.0: 0.1},
    "frozen_backbone": {0.1: 0.2, 1.0: 0.55, 3.0: 0.65, 10.0: 0.4},
}


class Halve(Policy):
    """Stands for a learned policy: each layer half of the one above."""

    def __call__(self, observation, state):
        return 0.5 ** torch.arange(len(observation)).flip(0).float(), state


class Lite(Halve):
    pass


def claimed():
    """Return what the preset claims."""
    claims = load_config("benchmark", "zero-shot").claims
    return [claim.model_dump(mode="json") for claim in claims]


def config(**changes):
    data = {
        "families": {
            "seen": {"task": TINY},
            "new": {"task": {**TINY, "options": {"split": "heldout", "steps": 10}}, "unseen": True},
        },
        "policy": "zero_shot_cases:Halve",
        "lite": "zero_shot_cases:Lite",
        "tasks": 4,
        "base_lr_factors": [0.1, 1.0, 10.0],
        "grid": {
            "schedules": ["constant"],
            "profiles": ["flat", "frozen_backbone"],
            "base_lr_factors": [1.0, 3.0],
        },
        "bootstrap": 200,
        "claims": claimed(),
    }
    return check_config(ZeroShotConfig, {**data, **changes}, "a test")


def made_up(family, cell):
    """Return a record whose scores are plain enough to do sums on."""
    name = (cell.choice.policy or cell.choice.profile.name).rpartition(":")[2]
    target = SCORES["Halve" if name == "Lite" else name][cell.base_lr_factor]
    if name in ("Halve", "Lite") and cell.base_lr_factor == 1.0:
        target += 0.01 * cell.task_seed
    if name == "Lite":
        target -= 0.005
    # Both settings of `flat` look perfect on source images; the loss tells which is preferred.
    liked = 1.0 if family == "seen" else 3.0
    first = (name, family, cell.task_seed, cell.base_lr_factor) == ("Halve", "seen", 0, 0.1)
    return Record(
        id=cell.id,
        task_seed=cell.task_seed,
        seed=cell.seed,
        base_lr_factor=cell.base_lr_factor,
        scores={
            "target_test": {"accuracy": target},
            "proxy_test": {"accuracy": 0.5},
            "source_validation": {
                "accuracy": 1.0 if name == "flat" else 0.9,
                "loss": 0.2 if cell.base_lr_factor == liked else 0.3,
            },
        },
        diverged=first,
        chance=0.1,
        steps=20,
        seconds=0.5,
        learning_rates=LearningRates(
            step=(), groups=(), multipliers=(), base_lr=0.05 * cell.base_lr_factor
        ),
    )


def records_of(settings):
    families = {}
    for name in settings.families:
        plan = make_plan(family_config(settings, name))
        families[name] = plan, {cell.id: made_up(name, cell) for cell in plan.cells}
    return families
