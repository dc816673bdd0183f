"""The cells of a table: in parallel processes, resumable."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from l2o.benchmarks.cells.cell import Cell, load_family
from l2o.benchmarks.cells.machine import usable_cores
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, append, read_records
from l2o.benchmarks.cells.runner import run_in
from l2o.benchmarks.cells.samples import save_samples
from l2o.benchmarks.cells.stackable import why_alone
from l2o.benchmarks.cells.stacked import Note
from l2o.benchmarks.comparisons.table.plan import Plan
from l2o.configs.schema import BenchmarkConfig
from l2o.envs.runtime.device import resolve_device
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.tasks.base import TaskFamily
from l2o.signals.spec import SignalSpec


@dataclass(frozen=True)
class Ran:
    """What there is after a run: the records by cell id, and how many processes it took."""

    records: Mapping[str, Record]
    workers: int


def run_cells(
    config: BenchmarkConfig, plan: Plan, out: Path, workers: int | None, progress: bool
) -> Ran:
    """Run the cells of a plan that a folder has no good record of."""
    families = _families(config, plan)
    for family in families:
        family.prepare(progress=progress and sys.stderr.isatty())
    save_samples(families[0].sample(0), out)
    used = _run_missing(config, plan, out / CELLS, workers, progress)
    return Ran(read_records(out / CELLS, Record), used)


def check(config: BenchmarkConfig, plan: Plan) -> None:
    """Build everything that has a name once, so that a wrong one fails before any work."""
    from l2o.envs.build import build
    from l2o.envs.fine_tuning.inner_loop import build_guidance, decision_interval
    from l2o.envs.optimizers import OPTIMIZERS
    from l2o.envs.policy_choice import build_policy
    from l2o.guidance.rows import GuidanceRows

    _families(config, plan)
    resolve_device(config.finetuning.device)
    choose_executor(config.placement, workers=1)
    build("optimizer", OPTIMIZERS, config.finetuning.optimizer)
    for row in plan.rows:
        cell = row.cells[0]
        policy = build_policy(cell.choice, decision_interval(cell.finetuning))
        build("optimizer", OPTIMIZERS, cell.finetuning.optimizer)
        GuidanceRows.of(build_guidance(cell.finetuning), policy)
        if config.precision != "float32" and why_alone(cell):
            raise ValueError(
                f"{why_alone(cell)} has no stacked form, and only stacked fine-tunes have "
                f"precision {config.precision}; use precision=float32"
            )


def signals_of(plan: Plan) -> SignalSpec:
    """Return the spec that has the signals of every row's policy."""
    from l2o.envs.policy_choice import build_policy

    choices = [row.cells[0].choice for row in plan.rows]
    specs = [build_policy(choice).signals for choice in choices]
    return SignalSpec(tuple(dict.fromkeys(name for spec in specs for name in spec.names)))


def _run_missing(
    config: BenchmarkConfig, plan: Plan, path: Path, workers: int | None, progress: bool
) -> int:
    """Run the cells without a good record; return the number of processes used."""
    found = read_records(path, Record).items()
    done = {id for id, record in found if record.error is None}
    cells = plan.cells
    missing = [cell for cell in cells if cell.id not in done]
    workers = min(workers or _default_workers(config), len(cells))
    workers = choose_executor(config.placement, workers).workers
    few = workers == 1 or len(missing) < 2
    executor = choose_executor(config.placement, 1 if few else workers)
    carried = [file for family in _families(config, plan) for file in family.cached_files()]
    executor.carry(list(dict.fromkeys(carried)))
    queue = CellQueue(missing, executor.workers, config.stacked)
    results = run_in(executor, queue, signals_of(plan))
    failed, told = 0, set()
    bar = tqdm(
        total=len(cells),
        initial=len(cells) - len(missing),
        desc="benchmark",
        unit="fine-tune",
        disable=None if progress else True,
        dynamic_ncols=True,
    )
    with bar, closing(results):
        for text in _exceptions(missing) if config.stacked else ():
            bar.write(text, file=sys.stderr)
        for record in results:
            if isinstance(record, Note):
                if record.text not in told:
                    bar.write(record.text, file=sys.stderr)
                told.add(record.text)
                continue
            append(path, record)
            bar.update()
            if record.error is not None:
                failed += 1
                bar.set_postfix(failed=failed)
                bar.write(f"fine-tune {record.id} failed: {record.error}", file=sys.stderr)
    return workers


def _families(config: BenchmarkConfig, plan: Plan) -> list[TaskFamily]:
    """Return the benchmark's task family, and those of rows that change its options."""
    named = [config.task, *(cell.task for row in plan.rows for cell in row.cells[:1])]
    return [load_family(text) for text in dict.fromkeys(each.model_dump_json() for each in named)]


def _default_workers(config: BenchmarkConfig) -> int:
    if (room := choose_executor(config.placement, 1).room()) is not None:
        return room
    on_gpu = resolve_device(config.finetuning.device).type != "cpu"
    return 1 if config.stacked and on_gpu else usable_cores()


def _exceptions(cells: list[Cell]) -> list[str]:
    """Return what to say about cells that are not stacked."""
    reasons = sorted({why_alone(cell) for cell in cells} - {""})
    return [f"{reason} has no stacked form: those fine-tunes run one by one" for reason in reasons]
