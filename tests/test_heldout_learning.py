"""The learning curve on held-out tasks."""

import json

import pytest
from commands import run as command
from commands import succeed
from test_train import config as train_config

from l2o.benchmarks.cells.quantities import QUANTITIES, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.studies.heldout_learning_curves import find_snapshots, snapshot_benchmark
from l2o.configs.load import load_config
from l2o.configs.yaml_text import format_yaml
from l2o.policies.train import train

TASK = {"name": "tiny:TinyFamily", "options": {"split": "heldout", "steps": 20}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(train_config(episodes=36), tmp_path_factory.mktemp("run") / "mine")


def compare(tmp_path, **changes):
    families = {"one": {"task": TASK}, "other": {"task": TASK, "unseen": True}}
    grid = {"schedules": ["constant"], "profiles": ["flat"]}
    settings = {"families": families, "grid": grid, "tasks": 2, "base_lr_factors": [0.1, 1.0]}
    path = tmp_path / "compare.yaml"
    path.write_text(format_yaml({**settings, "bootstrap": 50, **changes}))
    return str(path)


def test_every_snapshot_is_scored_on_the_same_held_out_tasks(tmp_path, run):
    out = tmp_path / "out"
    asked = ["--out", out, "--config", compare(tmp_path), "--workers", 1]
    succeed("study", "heldout-learning-curves", run, *asked)
    told = json.loads((out / "heldout_learning.json").read_text())
    evaluations = json.loads((run / "results.json").read_text())["evaluations"]
    assert [s["fine_tunes"] for s in told["snapshots"]] == [e["episodes"] for e in evaluations]
    assert [s["evaluation"] for s in told["snapshots"]] == [
        e["target_accuracy"] for e in evaluations
    ]
    assert str(tmp_path) not in json.dumps(told)
    for snapshot in told["snapshots"]:
        assert set(snapshot["scores"]) == {DEFAULT, MISJUDGED}
        assert snapshot["scores"][DEFAULT]["all"]["tasks"] == 4
    config = load_config("benchmark", compare(tmp_path))
    snapshots = find_snapshots(run, 100)
    for place, snapshot in enumerate(told["snapshots"]):
        means = []
        for name in ("one", "other"):
            row = make_plan(snapshot_benchmark(config, name, snapshots)).rows[place]
            records = read_records(out / name / CELLS, Record)
            scores = {
                (cell.task_seed, cell.base_lr_factor): QUANTITIES[TARGET].of(records[cell.id])
                for cell in row.cells
            }
            means += [(scores[task, 0.1] + scores[task, 1.0]) / 2 for task in range(2)]
        middle = sorted(means)[1:-1]
        assert snapshot["scores"][MISJUDGED]["all"]["value"] == pytest.approx(
            sum(middle) / 2, abs=1e-6
        )
    assert (out / "heldout_learning.png").stat().st_size > 1000


def test_few_points_keep_the_first_and_the_last(run):
    every = [s.fine_tunes for s in find_snapshots(run, 100).values()]
    few = [s.fine_tunes for s in find_snapshots(run, 2).values()]
    assert len(every) > 2
    assert few == [every[0], every[-1]]


def test_a_run_without_snapshots_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="snapshots"):
        find_snapshots(tmp_path, 3)
    ended = command("study", "heldout-learning-curves", tmp_path, "--out", tmp_path)
    assert ended.exit_code == 2
    assert "snapshots" in ended.stderr


def test_a_table_of_one_family_is_refused(tmp_path, run):
    asked = [run, "--out", tmp_path, "--config", "demo"]
    ended = command("study", "heldout-learning-curves", *asked)
    assert ended.exit_code == 2
    assert "families" in ended.stderr
