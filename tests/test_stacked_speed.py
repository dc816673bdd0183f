"""The speed benchmark: equal work, figures, files; the times themselves are not tested."""

import json

import pytest
import torch
from commands import run, succeed
from tiny import Many, TinyFamily

from l2o.benchmarks.speed import contenders, stacked
from l2o.benchmarks.speed.bare import BareLoop
from l2o.benchmarks.speed.base import hold
from l2o.benchmarks.speed.memory import measured_on_host, predicted_memory
from l2o.benchmarks.speed.timing import Times, ratio
from l2o.configs.schema import FineTuning
from l2o.envs.stacked import StackedFineTune, Start


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(stacked, "FewTasks", lambda width: TinyFamily())


def test_measures_and_writes(tiny, tmp_path):
    path, picture = tmp_path / "stacked.json", tmp_path / "stacked.png"
    succeed("speed", "stacked", "--numbers", "1,16", "--rounds", 2, "--json", path)
    results = json.loads(path.read_text())
    names = {(row["width"], row["name"]) for row in results["rows"]}
    assert {(8, "stacked 1"), (16, "stacked 16"), (8, "bare loop"), (8, "FineTuneEnv")} <= names
    assert len(results["figures"]) == 3
    assert all(row["holds"] in (True, False) for row in results["figures"])
    assert all(row["not_captured"] == {} for row in results["rows"] if row["runs"] == 16)
    assert results["machine"]["threads_per_process"] == 1
    assert "| 8 | stacked 16 |" in succeed("speed", "page", path, "--picture", picture)
    assert picture.stat().st_size > 1000


def test_sizes_that_are_none_are_told():
    ended = run("speed", "stacked", "--numbers", "1,x")
    assert ended.exit_code == 2
    assert "'1,x' are no sizes: write numbers above 0" in ended.stderr


def test_the_bare_loop_does_the_same_work():
    """After the same steps it has the same weights."""
    task = TinyFamily().sample(0)
    loop = BareLoop(task, torch.device("cpu"))
    loop.run()
    runs = StackedFineTune(FineTuning(**contenders.settings("cpu", 1)), 1, 4)
    runs.reset({0: Start(task, seed=0, base_lr=0.01)})
    runs.advance()
    weights = runs.weights(0)
    for name, weight in loop.model.named_parameters():
        torch.testing.assert_close(weights[name], weight)


def test_figures_hold_or_not():
    assert hold("time", 1.2, 1.15, 1.05, at_least=False).holds is False
    assert hold("ratio", 3.0, 2.5, 4.0).reaches_goal is False
    measured = {
        "FineTuneEnv": (1, 1.0, 1.0),
        "stacked 32": (32, 4.0, 9.0),
        "stacked 256": (256, 5.0, 9.0),
        "stacked 512": (512, 2.0, 9.0),
    }
    gpu = [
        stacked.Row(
            width=8,
            name=name,
            runs=runs,
            steps_per_second=30_000.0,
            microseconds_per_step=microseconds,
            best_microseconds_per_step=microseconds,
            ratio=ratio,
        )
        for name, (runs, microseconds, ratio) in measured.items()
    ]
    made = {f.figure: f.holds for f in stacked.figures_on_gpu(gpu)}
    assert made == {
        "GPU, N = 256, width 8: ratio to the bare loop": False,
        "GPU, largest N: fine-tune steps per second": True,
        "GPU, cost per environment, N = 512 over N = 32": True,
        "GPU, cost per environment, N = 512 over N = 32, dearest N up to 512": False,
    }


def test_a_ratio_is_of_times_of_one_round():
    assert ratio(Times([1.0, 2.0, 30.0]), Times([1.0, 1.0, 10.0]), scale=2) == 4.0


def test_memory_is_measured_in_a_process_of_its_own():
    """Source images, labels and teacher take 56 MB."""
    family = Many()
    found = measured_on_host(family, contenders.settings("cpu", 3), 2, "float32")
    stacked = contenders.stack(family, contenders.settings("cpu", 3), 2, "float32")
    stacked.reset(seed=0)
    predicted = predicted_memory(stacked, family.sample(0))
    assert predicted > 56e6
    assert 0.7 * predicted < found < 3 * predicted
