"""Running cells in processes, each on one core; what is finished is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from l2o.benchmarks.cells.record_file import CELLS, append, mend, read
from l2o.benchmarks.studies.hostile.cell import Cell, Record
from l2o.envs.runtime.executor import Processes
from l2o.envs.runtime.run_lock import run_lock

Run = Callable[[Cell], Record]


def run_all(run: Run, cells: Sequence[Cell], workers: int, out: Path) -> list[Record]:
    """Run the cells that the folder does not hold yet; return the records of all.

    Args:
        run: a function of a module, so that a process finds it.
        cells: what to run.
        workers: processes.
        out: holds `cells.jsonl`, sealed, from which a run that was killed goes on; made if missing.

    Raises:
        FolderInUseError: another run is at work in the folder.
        DamagedFileError: a line of `cells.jsonl` is not what was written; nothing is changed.
        KeyboardInterrupt: Ctrl-C; finished cells are kept.
    """
    with run_lock(out):
        return _run_left(run, cells, workers, out / CELLS)


def _run_left(run: Run, cells: Sequence[Cell], workers: int, path: Path) -> list[Record]:
    mend(path)
    done = {key: record for key, record in read(path).items() if not record["error"]}
    left = [cell for cell in cells if cell.id not in done]
    if not left:
        return [done[cell.id] for cell in cells]
    with Processes(workers) as executor:
        results = executor.map(partial(_attempt, run), left)
        for _, record in tqdm(results, total=len(left), desc="runs", disable=None):
            append(path, record)
            done[record["id"]] = record
    return [done[cell.id] for cell in cells]


def _attempt(run: Run, cell: Cell) -> Record:
    """Run a cell; a failure is a record, too: a policy that raises has done harm."""
    try:
        return run(cell) | {"error": None}
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return {"id": cell.id, "plain": cell.plain.id, "policy": cell.policy, "error": said}
