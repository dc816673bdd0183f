"""Running cells, stacked where they can be: in this process, or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from l2o.benchmarks.cells.cell import Cell, run_cell
from l2o.benchmarks.cells.queue import Batch, CellQueue
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.stackable import ALONE
from l2o.benchmarks.cells.stacked import Note, StackedCells
from l2o.envs.runtime.interrupts import check_interrupts, deferred_interrupts
from l2o.envs.runtime.workers import PATIENCE, one_thread, prepare_worker
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
    with one_thread():
        yield from _run_cells(queue.take, Crew(signals, workers=1))


def run_in_processes(queue: CellQueue, signals: SignalSpec, workers: int) -> Results:
    """Run all cells of a queue in so many processes; yield records as they are finished.

    On Ctrl-C, an error or when closed, the processes are stopped at once.

    Raises:
        RuntimeError: a process died.
        KeyboardInterrupt: Ctrl-C.
    """
    with deferred_interrupts():
        yield from _start_and_serve(queue, Crew(signals, workers))


def _start_and_serve(queue: CellQueue, crew: Crew) -> Results:
    context = multiprocessing.get_context("spawn")
    processes = []
    try:
        open_pipes = []
        for _ in range(crew.workers):
            ours, theirs = context.Pipe()
            processes.append(context.Process(target=_serve, args=(theirs, crew)))
            processes[-1].start()
            theirs.close()
            open_pipes.append(ours)
        yield from _serve_pipes(open_pipes, queue)
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()


def _serve_pipes(pipes: list[Connection], queue: CellQueue) -> Results:
    """Give workers what they ask for, and yield what they report, until all have finished."""
    while pipes:
        check_interrupts()
        for pipe in wait(pipes, timeout=PATIENCE):
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
            except (EOFError, OSError) as error:
                check_interrupts()
                raise RuntimeError(
                    "a worker process died, perhaps for want of memory; what is finished is kept: "
                    "run the same command again to go on, with fewer workers"
                ) from error
            if message is None:
                pipes.remove(pipe)
            elif isinstance(message, _Request):
                pipe.send(queue.take(message.key, message.count))
            else:
                yield message


@dataclass(frozen=True)
class _Request:
    key: str | None
    count: int


def _serve(pipe: Connection, crew: Crew) -> None:
    """Ask for cells and report their records, then None; the life of a worker process."""
    prepare_worker()

    def take(key: str | None, count: int) -> Batch:
        pipe.send(_Request(key, count))
        batch: Batch = pipe.recv()
        return batch

    for result in _run_cells(take, crew):
        pipe.send(result)
    pipe.send(None)


def _run_cells(take: Callable[[str | None, int], Batch], crew: Crew) -> Iterator[Record | Note]:
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
