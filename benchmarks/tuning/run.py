"""A search in a folder: trials on a cluster, gone on with after a stop, and what came of it."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from l2o.benchmarks.tuning.collect import Found, collect
from l2o.benchmarks.tuning.engines import WITH_STATES, make_scheduler, make_searcher
from l2o.benchmarks.tuning.kinds import Searched, check_values, searched
from l2o.benchmarks.tuning.numbering import name_of
from l2o.benchmarks.tuning.progress import progress_of
from l2o.benchmarks.tuning.space import check_space, combinations, to_ray
from l2o.benchmarks.tuning.trial import Plan
from l2o.benchmarks.tuning.written import write_search
from l2o.configs.load import dump_config
from l2o.configs.tune import TuneConfig
from l2o.envs.runtime.cache_folder import cache_folder
from l2o.envs.runtime.executor.on_ray.cluster import connect
from l2o.envs.runtime.executor.start import THREADS
from l2o.envs.runtime.run_lock import run_lock
from l2o.extras import require
from l2o.files.atomic import write_atomically

RAYS = ".ray"
"""What Ray Tune itself writes; nothing of ours is read from there."""
QUIET = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # A trial that fails before its first report has none.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "60",
}


def check(config: TuneConfig) -> tuple[Any, Searched]:
    """Refuse a search that cannot run, before anything is written or connected to.

    Returns:
        The config that trials begin with, and what the search is of.

    Raises:
        MissingExtraError: Ray is not installed.
        ValueError: an unknown field, metric, scheduler or searcher, or an impossible value.
    """
    require("l2o tune", "ray", "pandas", extra="ray")
    base = check_space(config)
    of = searched(config, base)
    check_values(config, base)
    make_scheduler(config, of.length)
    make_searcher(config)
    return base, of


def run_search(config: TuneConfig, out: str | Path, progress: bool | None = None) -> Found:
    """Search, and write what was found into a folder; what a folder has is gone on with.

    The folder holds `config.yaml`, `trials/` with what each trial reported and its last state,
    `results.json`, `report.html`, and `best.yaml`, a config of `config.of`.

    Args:
        config: what to search.
        out: the folder; on a cluster, where all nodes see it.
        progress: show a table on the way; None shows it on a terminal.

    Raises:
        ValueError: as `check` does, or no trial came to anything.
        NoClusterError: nobody answers at the cluster's address.
        FolderInUseError: another run is at work in the folder.
        KeyboardInterrupt: Ctrl-C; what trials have reported is kept.
    """
    base, of = check(config)
    with run_lock(Path(out).absolute()):
        plan, found = _find(config, base, of, out, progress)
        write_search(plan, of, found)
    return found


def find(config: TuneConfig, out: str | Path, progress: bool | None = None) -> tuple[Plan, Found]:
    """Search in a folder, and leave what trials left there; `run_search` writes it up, too.

    Raises:
        ValueError, NoClusterError, FolderInUseError, KeyboardInterrupt: as `run_search`.
    """
    base, of = check(config)
    with run_lock(Path(out).absolute()):
        return _find(config, base, of, out, progress)


def _find(
    config: TuneConfig, base: Any, of: Searched, out: str | Path, progress: bool | None
) -> tuple[Plan, Found]:
    out = Path(out).absolute()
    connect(config.ray.address, config.ray.timeout, who="l2o tune")
    write_atomically(out / "config.yaml", dump_config(config))
    began = time.time()
    length = 0 if _sets_length(config) else of.length
    plan = Plan(config, base, out, of.metric, config.scheduler.name in WITH_STATES, length)
    shown = sys.stderr.isatty() if progress is None else progress
    ended, reached = _fit(plan, of, shown)
    return plan, collect(plan, of, ended, reached, time.time() - began)


def _sets_length(config: TuneConfig) -> bool:
    """Tell whether trials may differ in length."""
    return any(
        field.rpartition(".")[2] in ("steps", "epochs", "episodes") for field in config.search
    )


def _fit(plan: Plan, of: Searched, shown: bool) -> tuple[dict[int, str], dict[int, int]]:
    """Let Ray Tune run the trials; return how each ended and how far it got, by its number."""
    from ray import tune

    config = plan.config
    shutil.rmtree(plan.out / RAYS, ignore_errors=True)
    needs = {"cpu": 1.0 if config.ray.cpus is None else config.ray.cpus, "gpu": config.ray.gpus}
    grid = config.searcher.name == "grid"
    drawn = grid or config.searcher.name == "random"  # bounded by `make_searcher`
    has_grid = any("grid" in domain for domain in config.search.values())
    watch = progress_of(of, shown, len(list(combinations(config))) if grid else config.trials)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    with _variables(config):
        tuner = tune.Tuner(
            tune.with_resources(_sent(plan, of), needs),
            param_space=to_ray(config),
            tune_config=tune.TuneConfig(
                metric=of.metric,
                mode=of.mode,
                scheduler=make_scheduler(config, of.length),
                search_alg=make_searcher(config),
                num_samples=1 if grid or (has_grid and config.trials == 1) else config.trials,
                max_concurrent_trials=None if drawn else config.concurrent,
                trial_name_creator=name_of,
                reuse_actors=True,
                time_budget_s=None if config.minutes is None else 60 * config.minutes,
            ),
            run_config=tune.RunConfig(
                name=RAYS,
                storage_path=str(plan.out),
                callbacks=[watch],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=config.ray.replacements),
            ),
        )
        with watch:
            tuner.fit()
    return watch.ended, {number: step for number, (_, step, _) in watch.rows.items()}


@contextmanager
def _variables(config: TuneConfig) -> Iterator[None]:
    """Have in the environment what Ray Tune reads there, for as long as the search takes."""
    wanted = QUIET
    if config.concurrent is not None and config.scheduler.name not in WITH_STATES:
        # Ray Tune would start workers for trials to come, and end them once one is free.
        wanted = {**QUIET, "TUNE_MAX_PENDING_TRIALS_PG": str(config.concurrent)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _sent(plan: Plan, of: Searched) -> Callable[[dict[str, Any]], None]:
    """Return what a trial runs, sent by value: it sets the path before anything is imported."""
    import ray

    root = cache_folder()
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in of.files
        if path.is_relative_to(root) and path.is_file()
    }
    shared, cached = ray.put(ray.cloudpickle.dumps((plan, of.make))), ray.put(files)
    path, folder = [os.path.abspath(each) for each in sys.path], os.getcwd()
    # A stopped trial that is in the midst of something ends at its next report.
    threads = {**THREADS, "TUNE_FUNCTION_THREAD_TIMEOUT_S": "3600"}

    def trial(given: dict[str, Any]) -> None:
        import os
        import sys

        import ray

        os.environ.update(threads)
        sys.path[:] = [*path, *(each for each in sys.path if each not in path)]
        if os.path.isdir(folder):
            os.chdir(folder)
        import torch

        from l2o.benchmarks.tuning.trial import run_trial
        from l2o.envs.runtime.executor.on_ray.worker import lay_out

        torch.set_num_threads(1)
        lay_out(ray.get(cached))
        plan, make = ray.cloudpickle.loads(ray.get(shared))
        run_trial(plan, make, given)

    return trial
