"""Permutation importance of a policy's signals, on tasks of the meta-training split.

python -m l2o.benchmarks.studies.portrait importance asg-base --out portrait
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from l2o.benchmarks.cells.cell import Record, finite
from l2o.benchmarks.comparisons.zero_shot.bootstrap import estimate, mean
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.studies.portrait.importance_figure import draw_importance, importance_table
from l2o.benchmarks.studies.portrait.permutation import Variant, list_variants
from l2o.benchmarks.studies.portrait.player import Outcome, Player
from l2o.benchmarks.studies.portrait.results import add_section
from l2o.configs.load import check_config, config_data, load_config
from l2o.configs.overrides import apply_overrides
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import load_policy, read_card
from l2o.envs.runtime.executor import in_order
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.files.atomic import write_atomically

QUICK_FINE_TUNES, QUICK_STEPS = 4, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("policy", help="a shipped policy's name, a bundle's or a run's folder")
    parser.add_argument("overrides", nargs="*", help="key=value, for the policy's training config")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--config", help="training config, where the policy's card has none")
    parser.add_argument("--fine-tunes", type=int, default=64, help="at once, for each row")
    parser.add_argument("--seed", type=int, default=0, help="of episodes and permutations")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="groups only, four short fine-tunes")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and write figure, table and numbers."""
    count, overrides = arguments.fine_tunes, list(arguments.overrides)
    if arguments.quick:
        count = QUICK_FINE_TUNES
        overrides.append(f"finetuning.steps={QUICK_STEPS}")
    if count < 2:
        raise SystemExit(f"--fine-tunes must be at least 2, got {count}: one permutes with itself")
    config = training_config(arguments.policy, arguments.config, overrides)
    section = measure_importance(
        config,
        arguments.policy,
        count=count,
        seed=arguments.seed,
        resamples=arguments.resamples,
        singles=not arguments.quick,
        workers=arguments.workers,
    )
    out = arguments.out
    add_section(out, arguments.policy, "importance", section, draw_importance(section))
    table = to_markdown(importance_table(section))
    write_atomically(out / "importance.md", table)
    print(table)


def training_config(
    policy: str, source: str | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """Return how a policy was trained: what its card says, or a config in its place.

    Raises:
        ValueError: the card does not say, and there is no config.
        ConfigError: wrong fields.
    """
    if source is not None:
        return load_config("train", source, overrides)
    found = read_card(policy).get("config")
    if not isinstance(found, dict):
        raise ValueError(
            f"the card of {policy!r} has no 'config', so how it was trained is not known; give its "
            "training config: --config PRESET or --config FILE.yaml"
        )
    where = f"the card of {policy}"
    config = check_config(TrainConfig, found, where)
    if not overrides:
        return config
    changed = apply_overrides(config_data(config), overrides)
    return check_config(TrainConfig, changed, f"{where} with {' '.join(overrides)}")


def measure_importance(
    config: TrainConfig,
    policy: str,
    *,
    count: int,
    seed: int = 0,
    resamples: int = 2000,
    singles: bool = True,
    workers: int = 1,
) -> Record:
    """Return what permuting each signal, and each group of signals, costs.

    Every row plays the same episodes: `loss` is accuracy without permutation minus accuracy with
    it, the mean over fine-tunes with its bootstrap interval over these pairs; `log10_change` is the
    mean absolute change of log10 multipliers, likewise. `tells` is false where no decision changed:
    what is the same in all fine-tunes cannot be judged by permuting it among them.

    Args:
        config: how the policy was trained.
        policy: name or folder of its bundle.
        count: fine-tunes of each row.
        seed: of episodes and permutations.
        resamples: bootstrap draws.
        singles: whether to permute signals one by one, too, not only groups.
        workers: processes.

    Returns:
        Plain JSON data; rows are sorted, the costliest first.
    """
    variants = list_variants(load_policy(policy).signals, singles)
    given = [(config.model_dump_json(), policy, count, seed, v) for v in (None, *variants)]
    outcomes = list(tqdm(_play_all(given, workers), total=len(given), disable=_quiet()))
    plain, rows = outcomes[0], []
    for variant, outcome in zip(variants, outcomes[1:], strict=True):
        loss = estimate([(plain.accuracy - outcome.accuracy)[:, None]], mean, resamples, seed)
        change = estimate([outcome.change[:, None]], mean, resamples, seed)
        rows.append(
            {
                "name": variant.name,
                "signals": list(variant.signals),
                "among": "layers" if variant.among_layers else "fine-tunes",
                "tells": bool(outcome.change.any()),
                "loss": loss.to_json(),
                "log10_change": change.to_json(),
                "accuracy": finite(outcome.accuracy.mean()),
                "diverged": outcome.diverged,
            }
        )
    return {
        "split": "train",
        "fine_tunes": count,
        "seed": seed,
        "resamples": resamples,
        "accuracy": finite(plain.accuracy.mean()),
        "diverged": plain.diverged,
        "config": json.loads(config.model_dump_json()),
        "rows": sorted(rows, key=lambda row: -row["loss"]["value"]),
    }


_Given = tuple[str, str, int, int, Variant | None]


def _play_all(given: Sequence[_Given], workers: int) -> Iterator[Outcome]:
    """Play in this process, or in several; each draws the same episodes."""
    try:
        with choose_executor("processes", workers) as executor:
            yield from in_order(executor.map(_play, given))
    finally:
        _player.cache_clear()


def _play(given: _Given) -> Outcome:
    config, policy, count, seed, variant = given
    return _player(config, policy, count, seed).play(variant)


@lru_cache(maxsize=1)
def _player(config: str, policy: str, count: int, seed: int) -> Player:
    return Player(TrainConfig.model_validate_json(config), load_policy(policy), count, seed)


def _quiet() -> bool:
    return not sys.stderr.isatty()
