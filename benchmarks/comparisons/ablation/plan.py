"""From an ablation's config to the training runs that it is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from l2o import __version__
from l2o.benchmarks.cells.code_hash import hash_code, hash_settings
from l2o.configs.ablation import AblationConfig
from l2o.configs.load import check_config, config_data, load_policy_training
from l2o.configs.overrides import set_fields
from l2o.configs.schema import Options, TrainConfig
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.tasks.build import build_task
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.common.evaluation import evaluation_task
from l2o.policies.common.networks import build_network
from l2o.registry import lookup

META_TRAINING = "train"
SETTLED = {
    "name": "its label",
    "seed": "`seeds`",
    "episodes": "`fine_tunes`",
    "minutes": "`fine_tunes`: all have the same budget",
}
"""Fields of the training config that the ablation sets itself, by what."""
SHARED = ("evaluation", "workers", "executor", "ray", "checkpoint_every")
"""Fields that may be changed for all variants only."""


@dataclass(frozen=True)
class Run:
    """One policy to learn: a variant from one learning seed.

    Attributes:
        label: the variant's.
        seed: learning seed, before the variant's shift: runs of one seed are compared.
        config: how it is learned.
        base: how the base is learned: episodes are drawn as there.
        episodes: how many it is scored on.
    """

    label: str
    seed: int
    config: TrainConfig
    base: TrainConfig
    episodes: int

    @cached_property
    def folder(self) -> str:
        """Name of the training run's folder: another config has another one."""
        learned = hash_settings(_telling(self.config))
        return f"{slug(self.label)}-{self.seed}-{learned[:8]}"

    @cached_property
    def id(self) -> str:
        """Hash of all that the scores follow from."""
        drawn = _telling(self.base)
        kept = ("task", "finetuning", "environment", "evaluation", "code")
        content = {
            "l2o": __version__,
            "learned": _telling(self.config),
            "drawn": {name: drawn.get(name) for name in kept},
            "episodes": self.episodes,
        }
        return hash_settings(content)


def make_runs(config: AblationConfig, workers: int | None = None) -> list[Run]:
    """Return the training runs, the base's first, each learning seed of a variant in turn.

    Args:
        config: the ablation.
        workers: processes; None takes the training config's.

    Raises:
        ValueError: fields that do not exist, that a variant may not change, or labels that would
            share a folder.

    Example:
        >>> config = load_config("benchmark", "ablation")
        >>> make_runs(config)[0].config.episodes == config.fine_tunes
        True
    """
    _check_labels(config)
    runs = []
    for label in config.variants:
        for seed in config.seeds:
            own, base = learning(config, label, seed), learning(config, _first(config), seed)
            if workers is not None:
                own = own.model_copy(update={"workers": workers})
            runs.append(Run(label, seed, own, base, config.episodes))
    return runs


def learning(config: AblationConfig, label: str, seed: int) -> TrainConfig:
    """Return the training config of a variant and a learning seed."""
    variant = config.variants[label]
    _refuse(config.changes, "changes", tuple(SETTLED))
    _refuse(variant.changes, f"variants.{label}.changes", (*SETTLED, *SHARED))
    given = {
        "name": label,
        "seed": seed + variant.seed_shift,
        "episodes": config.fine_tunes,
        "minutes": None,
    }
    data = set_fields(config_data(load_policy_training(config.train)), config.changes)
    data = set_fields(set_fields(data, variant.changes), given)
    return check_config(TrainConfig, data, f"variant {label!r} of train config {config.train!r}")


def check_run(run: Run) -> None:
    """Build what has a name once, so that a wrong one fails before any work.

    Raises:
        ValueError: unknown names, impossible values, or tasks of another split than meta-training.
    """
    config = run.config
    try:
        for named in (config.task, evaluation_task(config)):
            family = build_task(named)
            if family.split != META_TRAINING:
                raise ValueError(
                    f"the tasks are of the split {family.split!r}: an ablation guides choices, so "
                    f"it looks at {META_TRAINING!r} only; set task.options.split={META_TRAINING}"
                )
            rules = EpisodeRules(family, config.finetuning, config.environment)
        choose_executor(config.placement, config.workers)
        lookup("algorithm", ALGORITHMS, config.algorithm.name)
        build_network(config, rules.rows)
    except ValueError as error:
        raise ValueError(f"variant {run.label!r}: {error}") from error


def slug(label: str) -> str:
    """Return a label as the beginning of a folder's name.

    Example:
        >>> slug("PPO, no group baseline")
        'ppo-no-group-baseline'
    """
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "variant"


def _first(config: AblationConfig) -> str:
    return next(iter(config.variants))


def _check_labels(config: AblationConfig) -> None:
    taken: dict[str, str] = {}
    for label in config.variants:
        other = taken.setdefault(slug(label), label)
        if other != label:
            raise ValueError(
                f"variants {other!r} and {label!r} would share a folder; rename one of them"
            )


def _refuse(changes: Mapping[str, Any], where: str, fields: tuple[str, ...]) -> None:
    for key in changes:
        field = key.partition(".")[0]
        if field in fields:
            by = SETTLED.get(field, "`changes`, for all variants alike")
            raise ValueError(f"{where} names {key!r}, which is set by {by}; take it out")


def _telling(config: TrainConfig) -> Options:
    """Return what a policy follows from: fields not at their defaults, and the code they name."""
    # Fields with defaults that a later release adds leave the hash as it was.
    data = config.model_dump(mode="json", exclude_defaults=True)
    telling = {name: data[name] for name in data if name not in ("name", *SHARED[1:])}
    code = hash_code(telling)
    return telling | {"code": code} if code else telling
