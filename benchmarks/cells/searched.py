"""A cell that is a search by Ray Tune: many fine-tunes, of which one is measured."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from l2o.benchmarks.cells.cell import Cell, begin, follow, measure, record_of_run
from l2o.benchmarks.cells.curve import Curve, stops
from l2o.benchmarks.cells.record import Record, Searched
from l2o.benchmarks.cells.scores_by_name import ON_THE_WAY, score
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.load import check_config, dump_config
from l2o.configs.schema import Named
from l2o.configs.search import CHANGING, Search
from l2o.configs.tune import TuneConfig
from l2o.envs.fine_tuning.fine_tune import FineTune

MANY = 100_000
"""Fine-tunes that a search may begin where time is what bounds it."""


def measure_search(cell: Cell, began: float) -> Record:
    """Search, and measure the fine-tune that the source's validation images choose.

    It is run once more in full, from its config: that is the very fine-tune of the search. Where
    values changed on the way, there is no such config, and what the search left is measured.

    Raises:
        ValueError: no fine-tune came to anything.
    """
    from l2o.benchmarks.tuning.run import find

    assert cell.search is not None
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "fine-tune.yaml"
        base, layers = _base(cell)
        path.write_text(dump_config(base), encoding="utf-8")
        config = _config(cell, base, path, layers)
        plan, found = find(config, Path(name) / "search", progress=False)
        if found.best is None:
            raise ValueError(f"no fine-tune of the search came to anything: {found.reason}")
        best = plan.config_of(found.best.params)
        if cell.search.scheduler.name in CHANGING:
            record = _left(cell, best, plan.out / "trials" / found.best.folder)
        else:
            record = measure(_chosen(cell, best))
    told = Searched(
        fine_tunes=len(found.trials), steps=found.steps, seconds=round(found.seconds, 3)
    )
    own = {"id": cell.id, "base_lr_factor": cell.base_lr_factor, "searched": told}
    return record.model_copy(update={**own, "seconds": round(time.perf_counter() - began, 3)})


def _base(cell: Cell) -> tuple[FinetuneConfig, int]:
    """Return what all fine-tunes of a search begin with, and the network's layer groups."""
    assert cell.search is not None
    run = begin(replace(cell, search=None))
    layers, choice = len(run.controller.groups), cell.choice
    if cell.search.layers is not None:
        rule = Named(name="constant_layers", options={"multipliers": [1.0] * layers})
        choice = choice.model_copy(update={"rule": rule})
    config = FinetuneConfig(
        task=cell.task,
        task_seed=cell.task_seed,
        seed=cell.seed,
        base_lr=cell.rate(run.task.base_lr),
        finetuning=cell.finetuning,
        choice=choice,
        guard=cell.guard,
        groups=None if cell.groups is None else json.loads(cell.groups),
    )
    return config, layers


def _config(cell: Cell, base: FinetuneConfig, path: Path, layers: int) -> TuneConfig:
    search = cell.search
    assert search is not None
    given: dict[str, Any] = {
        "config": str(path),
        "search": search.by_layer(layers),
        "scheduler": search.scheduler.model_dump(),
        "searcher": search.searcher.model_dump(),
        "trials": search.fine_tunes,
        "reports": search.reports,
        "concurrent": 1,
        # As rules that draw do: another search for each run.
        "seed": 1000 * cell.task_seed + cell.seed,
    }
    if search.equal_time:
        given |= {"trials": MANY, "minutes": search.fine_tunes * _seconds(base, search) / 60}
    return check_config(TuneConfig, given, "the search of a row")


def _seconds(base: FinetuneConfig, search: Search) -> float:
    """Return what one whole fine-tune takes here, scored as often as those of the search."""
    from l2o.benchmarks.tuning.fine_tunes import FineTuneTrial

    began = time.perf_counter()
    for _ in FineTuneTrial(base, search.reports).steps():
        pass
    return time.perf_counter() - began


def _chosen(cell: Cell, best: FinetuneConfig) -> Cell:
    best = best.in_full()
    return replace(
        cell, search=None, choice=best.choice, finetuning=best.finetuning, base_lr=best.base_lr
    )


def _left(cell: Cell, best: FinetuneConfig, folder: Path) -> Record:
    """Measure the network that a search left, at its end; its decisions are not known."""
    from l2o.benchmarks.tuning.fine_tunes import FineTuneTrial
    from l2o.benchmarks.tuning.trial import STATE
    from l2o.policies.common.checkpoint import load_checkpoint

    trial, left = FineTuneTrial(best, reports=1), load_checkpoint(folder, fields=STATE)
    assert left is not None, "one that has reported has left its state"
    trial.go_on(left["run"], changed=False)
    run = trial.run
    curve = ended(run)
    return record_of_run(cell, run, curve, decided=(), base_lr=best.base_lr, seconds=0.0)


def ended(run: FineTune) -> Curve:
    """Return the curve of a fine-tune that was taken over: its end alone, trained to if need be."""
    curve = Curve(stops(run.steps, 1, run.interval))
    told = {"kl": run.last_proxy_kl * run.step, "since": run.step}
    curve.go_on(run.step, run.diverged, (), told)
    if curve.due:
        curve.add({split: score(run, split) for split in ON_THE_WAY})
    follow(run, curve)
    return curve
