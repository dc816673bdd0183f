"""Ray as the executor of what l2o runs: two nodes, deaths, and what is wrong with an address."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from at_work import die_at_one, node_and_file, process_of, slowly
from benchmark_cases import config as table

from l2o.benchmarks import run_benchmark
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.studies.local_cluster import kill_node, workers_of
from l2o.configs.load import load_config
from l2o.configs.schema import Grid, Named, TrainConfig
from l2o.envs.runtime.executor import OnRay, WorkerDiedError
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.extras import MissingExtraError

ray = pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
TESTS = Path(__file__).parent
pytestmark = pytest.mark.timeout(900)  # Ray takes long to start where others are at work


def test_cells_are_those_of_processes_bit_by_bit(ray_cluster, tmp_path):
    found = {}
    for kind in ("processes", "ray"):
        settings = table(
            grid=Grid(schedules=("constant", "cosine"), profiles=("flat",)), executor=kind
        )
        run_benchmark(settings, tmp_path / kind, workers=2, progress=False)
        records = TABLE.load(tmp_path / kind).records
        found[kind] = {id: each.model_dump(exclude={"seconds"}) for id, each in records.items()}
    assert len(found["ray"]) > 10
    assert found["ray"] == found["processes"]


def test_workers_that_are_killed_at_random_lose_nothing(ray_cluster):
    draw, results, seen = random.Random(0), [], set()
    with OnRay(2) as executor:
        for result in executor.map(slowly, range(40)):
            results.append(result)
            seen.add(result[1][1])
            if len(results) in (5, 15, 25):
                os.kill(draw.choice([each for each in seen if _lives(each)]), signal.SIGKILL)
        assert executor.told["deaths"] >= 2
    assert sorted((number, value) for number, (value, *_) in results) == [
        (number, number) for number in range(40)
    ]


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_piece_that_kills_is_given_up(ray_cluster):
    came = []
    with OnRay(2, replacements=1) as executor, pytest.raises(WorkerDiedError, match=r"\(1, 1\)"):
        came += (number for number, _ in executor.map(die_at_one, range(4)))
    with OnRay(1) as executor:
        assert [value for _, (value, *_) in executor.map(process_of, "a")] == ["a"]


def test_files_of_the_cache_go_to_nodes_that_lack_them(ray_cluster, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    (here / "weights.txt").write_text("pretrained")
    (tmp_path / "other.txt").write_text("stays")
    monkeypatch.setenv("L2O_CACHE", str(here))
    with OnRay(1) as executor:
        executor.needs["resources"] = {"second": 0.5}
        executor.carry([here / "weights.txt", here / "none.txt", tmp_path / "other.txt"])
        [(_, (node, found))] = executor.map(node_and_file, ["weights.txt"])
    assert (node, found) == (ray_cluster.second.node_id, "pretrained")
    assert (ray_cluster.cache / "weights.txt").exists()
    assert not list(ray_cluster.cache.rglob("other.txt"))


def test_a_training_goes_on_when_a_worker_dies(ray_cluster, tmp_path, caplog):
    from l2o.policies.train import train

    settings = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"interval": 5},
        "network": {"hidden": 8},
        "algorithm": {"name": "ppo", "options": {"decisions": 16, "minibatches": 2, "epochs": 2}},
        "episodes": 24,
        "workers": 1,
        "environments": 4,
        "checkpoint_every": 1,
        "evaluation": {"every": 2, "tasks": 1, "base_lrs": [0.05]},
        "executor": "ray",
    }
    killed = threading.Event()

    def kill_once():
        log = tmp_path / "run" / "metrics.jsonl"
        while not (log.exists() and log.stat().st_size):
            time.sleep(0.01)
        ours = psutil.Process().children(recursive=True)
        at_work = [each for each in ours if "FirstThePath" in each.name()]
        at_work[0].kill()
        killed.set()

    threading.Thread(target=kill_once, daemon=True).start()
    train(TrainConfig.model_validate(settings), tmp_path / "run")
    assert killed.is_set()
    assert (tmp_path / "run" / "policy.safetensors").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_stopped_leaves_no_worker(ray_cluster, how):
    """Nor what workers have started: each has a process of its own."""
    path = os.pathsep.join([str(TESTS), *sys.path])
    run = subprocess.Popen(
        [sys.executable, str(TESTS / "at_work.py"), "print", "ray"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert {run.stdout.readline() for _ in range(3)} == {f"came {n} {n}\n" for n in range(3)}
        workers = workers_of(ray_cluster)
        theirs = [*workers, *(child for each in workers for child in each.children(True))]
        assert len(theirs) > len(workers) > 1
        run.send_signal(how)
        run.wait(60)
    finally:
        run.kill()
        run.communicate()
    _, alive = psutil.wait_procs(theirs, timeout=60)
    assert not alive


def test_a_node_that_is_killed_loses_nothing(ray_cluster):
    """The last one here: the cluster has one node less from now on."""
    node, results = ray_cluster.second.node_id, []
    with OnRay(4, cpus=1) as executor:
        for result in executor.map(slowly, range(40)):
            results.append(result)
            if node in {there for _, (_, _, there) in results} and len(results) > 10:
                kill_node(ray_cluster.second)
                node = None
        assert executor.told["deaths"] >= 1
    assert node is None, "it was never at work"
    assert sorted(number for number, _ in results) == list(range(40))


# --- what is wrong


@pytest.fixture
def unconnected(monkeypatch):
    """Let the program believe that it has no cluster yet."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def test_an_address_that_nobody_answers_is_one_error_in_time(unconnected):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ConnectionError, match=rf"ray.address={address}: no Ray cluster answ"):
            OnRay(1, address=address, timeout=0.5).room()
        assert time.monotonic() - began < 5
    with pytest.raises(ValueError, match="'nowhere' is no address; write HOST:PORT"):
        OnRay(1, address="nowhere").room()


def test_a_program_has_one_cluster(ray_cluster):
    OnRay(1).room()
    with pytest.raises(ValueError, match=r"is connected to .*; a program has one cluster"):
        OnRay(1, address="127.0.0.1:1").room()


def test_without_ray_there_is_one_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'^executor: ray needs ray: pip install "l2o\[ray'):
        choose_executor("ray", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpus": -1}, "cpus of executor ray must be 0 or more, got -1"),
        ({"timeout": 0}, "timeout of executor ray must be positive"),
        ({"adress": "auto"}, "Did you mean 'address'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        choose_executor(Named(name="ray", options=options), 2)


def test_configs_name_the_cluster():
    config = load_config("benchmark", "demo", ["executor=ray", "ray.address=auto", "ray.gpus=0.5"])
    assert config.placement == Named(name="ray", options={"address": "auto", "gpus": 0.5})
    assert load_config("train", "demo", ["ray.gpus=1"]).placement == Named(name="processes")
    assert torch.get_num_threads() == 1
