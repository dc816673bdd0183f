"""Executors that are stopped: what came is kept, and no process is left."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from l2o.envs.runtime.executor import (
    EXECUTORS,
    WorkerDiedError,
)
from l2o.extras import installed

TESTS = Path(__file__).parent


def script(*arguments, **how):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    # A cluster that other tests have begun is none of its own, and would not end with it.
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, str(TESTS / "at_work.py"), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True, **how)


FOR_RAY = pytest.mark.skipif(not installed("ray"), reason="Ray is not installed: l2o[ray]")
KINDS = [pytest.param(kind, marks=FOR_RAY if kind == "ray" else ()) for kind in EXECUTORS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_keeps_what_came_and_leaves_no_process(kind, how):
    if kind == "ray" and how != signal.SIGINT:
        pytest.skip("Ray's own agents look for their parent once a minute, and starting it is slow")
    run = script("print", kind, start_new_session=True)
    try:
        came = {run.stdout.readline() for _ in range(3)}
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) >= (4 if kind == "processes" else 1)
        time.sleep(0.3)
        if how == signal.SIGINT:  # as a terminal does
            os.killpg(run.pid, how)
        else:
            run.send_signal(how)
        output, errors = run.communicate(timeout=30)
    finally:
        run.kill()
    assert came == {f"came {number} {number}\n" for number in range(3)}
    assert run.returncode != 0
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    if how == signal.SIGINT:
        assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1, "workers are silent"
        assert output == ("left\n" if kind == "processes" else "")


@pytest.mark.parametrize("kind", ["processes", "here"])
def test_a_program_that_closes_nothing_ends(kind):
    run = script("forget", kind)
    output, errors = run.communicate(timeout=60)
    assert (run.returncode, output) == (0, "(0, 2)\n"), errors


def test_an_unguarded_script_is_told_what_it_lacks(tmp_path):
    (tmp_path / "script.py").write_text(
        "from l2o.envs.runtime.executor import Processes\n"
        "with Processes(1) as executor:\n    print(list(executor.map(abs, [-1])))\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert '`if __name__ == "__main__":`' in done.stderr.strip().splitlines()[-1]


def test_messages_of_death_can_be_pickled():
    error = pickle.loads(pickle.dumps(WorkerDiedError("a worker process died")))
    assert str(error) == "a worker process died"
