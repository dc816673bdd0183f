"""Running cells, stacked where they can be: in this process, or in several."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial

from l2o.benchmarks.cells.cell import Cell, run_cell
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.stackable import ALONE
from l2o.benchmarks.cells.stacked import Note, StackedCells
from l2o.envs.runtime.executor import Executor, Here, Take
from l2o.signals.spec import SignalSpec

Results = Generator[Record | Note, None, None]


@dataclass(frozen=True)
class Crew:
    """What the processes of a benchmark have in common.

    Attributes:
        signals: has the signals of every cell's policy.
        workers: number of processes.
    """

    signals: SignalSpec
    workers: int


def run_here(queue: CellQueue, signals: SignalSpec) -> Results:
    """Run all cells of a queue in this process, on one torch thread."""
    return run_in(Here(), queue, signals)


def run_in(executor: Executor, queue: CellQueue, signals: SignalSpec) -> Results:
    """Run all cells of a queue in the workers of an executor; yield records as they are finished.

    At the end, on Ctrl-C, an error or when closed, the executor is closed.

    Raises:
        WorkerDiedError: a worker died.
        KeyboardInterrupt: Ctrl-C.
    """
    with executor:
        yield from executor.share(partial(_run_cells, Crew(signals, executor.workers)), queue)


def _run_cells(crew: Crew, take: Take) -> Iterator[Record | Note]:
    """Run cells, kind by kind, until there are no more."""
    while True:
        key, cells = take(None, 1)
        if not cells:
            return
        if key == ALONE:
            yield run_cell(cells[0])
            continue

        def more(count: int, key: str = key, held: list[Cell] = cells) -> list[Cell]:
            given = [held.pop() for _ in held[:count]]
            return given + take(key, count - len(given))[1]

        stacked = StackedCells(cells[0], crew.signals, sharing=crew.workers)
        yield from stacked.run(more)
