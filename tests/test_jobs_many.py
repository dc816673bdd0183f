"""Many jobs: what a runner holds, and what a list costs, does not grow with them.

For 1,000: `PYTHONPATH=tests python tests/test_jobs_many.py 1000`.
"""

import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from jobs_cases import ScriptRunner, tick, use_scripts

from l2o.service.server.jobs.answers import job_answer
from l2o.service.server.jobs.base import Needs


def megabytes():
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def run_many(folder, count, cores=4):
    """Run so many jobs, two of three as processes; return what they took."""
    runner = ScriptRunner(folder, cores=cores)
    for _ in range(20):  # what is imported and opened on first use
        runner.submit("pass", needs=Needs(memory_gib=0.1))
    for _ in tick(runner, 120):
        if runner.store.count() == {"succeeded": 20}:
            break
    before, begun = megabytes(), time.monotonic()
    files, children = len(psutil.Process().open_files()), len(psutil.Process().children())
    for number in range(count):
        job = runner.submit("pass", needs=Needs(memory_gib=0.1))
        if number % 3 == 0:
            runner.store.cancel(job.id)
    queued = megabytes()
    for _ in tick(runner, 1800):
        if not runner.store.select(["queued", "running"], 1):
            break
    seconds = time.monotonic() - begun
    asked = time.monotonic()
    listed = runner.store.select(limit=50)
    told = [job_answer(job, runner.folder(job.id)).model_dump_json() for job in listed]
    list_seconds = time.monotonic() - asked
    asked = time.monotonic()
    runner.tick()
    look_seconds = time.monotonic() - asked
    return {
        "jobs": count,
        "counts": runner.store.count(),
        "megabytes_before": before,
        "megabytes_queued": queued,
        "megabytes_after": megabytes(),
        "held": len(runner._started) + len(runner._asked) + len(runner._too_large),
        "more_open_files": len(psutil.Process().open_files()) - files,
        "more_children": len(psutil.Process().children()) - children,
        "jobs_per_second": count / seconds,
        "milliseconds_of_a_list": 1000 * list_seconds,
        "milliseconds_of_a_look": 1000 * look_seconds,
        "listed": len(told),
    }


def test_memory_does_not_grow_with_jobs(tmp_path, monkeypatch):
    use_scripts(monkeypatch)
    found = run_many(tmp_path, 60)
    assert found["counts"] == {"succeeded": 60, "cancelled": 20}
    assert found["held"] == 0
    assert found["more_children"] == 0
    assert found["more_open_files"] <= 1
    assert found["megabytes_after"] < found["megabytes_before"] + 10
    assert found["listed"] == 50
    assert found["milliseconds_of_a_look"] < 100


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        use_scripts(patch)
        print(json.dumps(run_many(Path(folder), int(sys.argv[1])), indent=1))
