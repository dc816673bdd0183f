"""A library call leaves threads, signal handlers, environment and the like as it found them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# One after the other in a program of its own, with a thread count and start method that are not the
# defaults.
AROUND = """
import multiprocessing, os, signal, sys, json, pathlib, torch
from at_work import state

def difference(before, after):
    return sorted(key for key in before if before[key] != after[key])

def main(folder):
    torch.set_num_threads(3)
    multiprocessing.set_start_method("forkserver")
    os.environ["OMP_NUM_THREADS"] = "5"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    prepare()
    found = {}
    for act in (executor, fails, train, benchmark, finetune):
        before = state()
        act(pathlib.Path(folder) / act.__name__)
        found[act.__name__] = difference(before, state())
    print(json.dumps(found))

def prepare():
    # What is loaded for good: libraries with state of their own.
    import test_train, test_benchmark, at_work, l2o.policies.train, l2o.benchmarks
    import matplotlib.pyplot, torch.utils.tensorboard, l2o.policies.sb3.learner

def executor(folder):
    from at_work import Counter, double
    from functools import partial
    from l2o.envs.runtime.executor import Here, Processes
    for kind in (Here, Processes):
        with kind(1) as each:
            assert dict(each.map(double, [1, 2])) == {0: 2, 1: 4}
            assert each.spawn(partial(Counter, 1)).call("add", 1).result() == 2

def fails(folder):
    from at_work import refuse_three
    from l2o.envs.runtime.executor import Here, Processes
    for kind in (Here, Processes):
        try:
            with kind(1) as each:
                list(each.map(refuse_three, [3]))
        except ValueError:
            continue
        raise AssertionError

def train(folder):
    from test_train import config
    from l2o.policies.train import train
    train(config(episodes=2, executor={"name": "processes"}), folder)

def benchmark(folder):
    from benchmark_cases import config
    from l2o.benchmarks import run_benchmark
    settings = config(rows=(), seeds=1)
    for workers in (1, 2):
        run_benchmark(settings, folder / str(workers), workers=workers, progress=False)

def finetune(folder):
    from l2o.service.finetuning.run import run_finetune
    from l2o.configs.finetune import FinetuneConfig
    task = {"name": "tiny:TinyFamily", "options": {"steps": 4}}
    run_finetune(FinetuneConfig.model_validate({"task": task}), folder)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """What each call has changed, by its name."""
    folder = tmp_path_factory.mktemp("calls")
    script = folder / "script.py"
    script.write_text(AROUND)
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("act", ["executor", "fails", "train", "benchmark", "finetune"])
def test_a_call_leaves_what_is_global_alone(act, changed):
    assert changed[act] == []
