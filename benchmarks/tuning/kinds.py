"""What can be searched over: how each command's config is checked, named, and made a trial of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from l2o.benchmarks.tuning.space import ends_of, with_fields
from l2o.benchmarks.tuning.trial import Trainable
from l2o.configs.tune import TuneConfig


@dataclass(frozen=True)
class Searched:
    """What a search is of, once its config is checked.

    Attributes:
        make: makes a trial of a config and its folder.
        metric: what is searched for, as reports call it.
        mode: `max` or `min`.
        length: of a trial, in what schedulers count.
        files: of the cache that trials need.
    """

    make: Callable[[Any, Path], Trainable]
    metric: str
    mode: str
    length: int
    files: tuple[Path, ...] = ()


def searched(config: TuneConfig, base: Any) -> Searched:
    """Check the config that trials begin with; return what the search is of.

    Raises:
        ValueError: what it names cannot be made, or a metric that there is not.
    """
    return (_fine_tunes if config.of == "finetune" else _trainings)(config, base)


def _fine_tunes(config: TuneConfig, base: Any) -> Searched:
    from l2o.benchmarks.cells.cell import load_family
    from l2o.benchmarks.tuning import fine_tunes

    task = fine_tunes.check_fine_tune(base)
    metric = fine_tunes.name_metric(task, config.metric)
    full = base.in_full()
    return Searched(
        partial(fine_tunes.make_fine_tune, config.reports),
        metric,
        fine_tunes.direction(task.build_objectives()[0], metric),
        full.finetuning.steps or task.steps,
        tuple(load_family(full.task.model_dump_json()).cached_files()),
    )


def _trainings(config: TuneConfig, base: Any) -> Searched:
    from l2o.benchmarks.tuning import trainings
    from l2o.envs.tasks.build import build_task

    metric = trainings.name_metric(config.metric)
    trainings.check_trained(base)
    files = tuple(build_task(base.task).cached_files())
    return Searched(partial(trainings.make_training, 0), metric, "max", base.episodes, files)


def check_values(config: TuneConfig, base: Any) -> None:
    """Make what each value names, alone or beside the first ones of the other fields.

    Raises:
        ValueError: a value with which nothing can be made.
    """
    firsts = {field: ends_of(domain)[0] for field, domain in config.search.items()}
    for field, domain in config.search.items():
        for value in ends_of(domain):
            try:
                _make(config, base, {field: value})
            except ValueError:
                _make(config, base, {**firsts, field: value})


def _make(config: TuneConfig, base: Any, fields: dict[str, Any]) -> None:
    told = ", ".join(f"{field}={value!r}" for field, value in fields.items())
    given = with_fields(config, base, fields, f"search {told}")
    if config.of == "finetune":
        from l2o.benchmarks.tuning.fine_tunes import check_fine_tune

        check_fine_tune(given)
    else:
        from l2o.benchmarks.tuning.trainings import check_trained

        check_trained(given)
