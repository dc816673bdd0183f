"""Run a benchmark: cells in parallel processes, resumable, summarised at the end."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from l2o.benchmarks.cell import Cell, Record, load_family, run_cell
from l2o.benchmarks.cores import usable_cores
from l2o.benchmarks.plan import Plan, make_plan
from l2o.benchmarks.records import CELLS, append, mend, read, write_json
from l2o.benchmarks.results import RESULTS
from l2o.benchmarks.samples import save_samples
from l2o.benchmarks.summary import summarise
from l2o.configs.load import dump_config
from l2o.configs.schema import BenchmarkConfig, Named
from l2o.files import write_atomically

CONFIG = "config.yaml"


def run_benchmark(
    config: BenchmarkConfig, out: Path, workers: int | None = None, progress: bool = True
) -> Path:
    """Run what is missing of a benchmark and write its results.

    Each finished fine-tune is one line of `cells.jsonl`. Calling it again with the same folder goes
    on where it stopped; fine-tunes whose settings changed are run anew.

    Args:
        config: the benchmark.
        out: folder of the results; made when missing.
        workers: processes, one torch thread each; null takes one per usable core. 1 runs in this
            process.
        progress: show a progress bar, if stderr is a terminal.

    Returns:
        The path of `results.json`.

    Raises:
        ValueError: a config that cannot run, before any work.
        RuntimeError: a worker process died, or every fine-tune failed.
        KeyboardInterrupt: passed on after the workers are stopped; what is finished is kept.

    Example:
        run_benchmark(config, Path("runs/asg-table"), workers=2)
    """
    plan = make_plan(config)
    check(config, plan)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / CONFIG, dump_config(config))
    family = load_family(config.task.model_dump_json())
    family.prepare(progress=progress and sys.stderr.isatty())
    save_samples(family.sample(0), out)
    threads = _run_missing(plan, out / CELLS, workers or usable_cores(), progress)
    records = read(out / CELLS)
    write_json(out / RESULTS, summarise(config, plan, records, workers=threads))
    _raise_if_all_failed(plan, records)
    return out / RESULTS


def check(config: BenchmarkConfig, plan: Plan) -> None:
    """Build everything that has a name once, so that a wrong one fails before any work."""
    from l2o.envs.build import build
    from l2o.envs.choice import build_policy
    from l2o.envs.optimizers import OPTIMIZERS
    from l2o.guidance import GUIDANCE

    load_family(config.task.model_dump_json())
    build("optimizer", OPTIMIZERS, config.finetuning.optimizer)
    for row in plan.rows:
        cell = row.cells[0]
        build_policy(cell.choice, cell.finetuning.interval)
        for name, options in cell.finetuning.guidance.items():
            build("guidance", GUIDANCE, Named(name=name, options=options))


def _run_missing(plan: Plan, path: Path, workers: int, progress: bool) -> int:
    """Run the cells without a good record; return the number of processes used."""
    mend(path)
    done = {id for id, record in read(path).items() if record["error"] is None}
    cells = plan.cells
    missing = [cell for cell in cells if cell.id not in done]
    workers = min(workers, len(cells))
    few = workers == 1 or len(missing) < 2
    results = _in_this_process(missing) if few else _in_processes(missing, workers)
    failed = 0
    bar = tqdm(
        total=len(cells),
        initial=len(cells) - len(missing),
        desc="benchmark",
        unit="fine-tune",
        disable=None if progress else True,
        dynamic_ncols=True,
    )
    with bar, closing(results):
        for record in results:
            append(path, record)
            bar.update()
            if record["error"] is not None:
                failed += 1
                bar.set_postfix(failed=failed)
                bar.write(f"fine-tune {record['id']} failed: {record['error']}", file=sys.stderr)
    return workers


def _in_this_process(cells: list[Cell]) -> Generator[Record, None, None]:
    from l2o.envs.workers import one_thread

    for cell in cells:
        with one_thread():
            record = run_cell(cell)
        yield record


def _in_processes(cells: list[Cell], workers: int) -> Generator[Record, None, None]:
    """Yield records as they are finished; on Ctrl-C or an error, stop the workers at once."""
    from l2o.envs.workers import prepare_worker

    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), prepare_worker)
    try:
        futures: list[Future[Record]] = [pool.submit(run_cell, cell) for cell in cells]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process died, perhaps for want of memory; what is finished is kept: "
            "run the same command again to go on, with fewer workers"
        ) from error
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _raise_if_all_failed(plan: Plan, records: dict[str, Any]) -> None:
    errors = [records[cell.id]["error"] for cell in plan.cells]
    if all(error is not None for error in errors):
        raise RuntimeError(f"every fine-tune failed; the first: {errors[0]}")
