"""Learning curves of training runs."""

import json

import pytest
from commands import succeed
from test_train import config

from l2o.benchmarks.studies.learning_curves import read_run
from l2o.policies.train import train


def test_curves_and_what_differs_of_several_runs(tmp_path):
    train(config(), tmp_path / "one")
    train(config(seed=3), tmp_path / "other")
    runs = [f"{tmp_path}/one", f"{tmp_path}/other=another seed"]
    succeed("study", "learning-curves", *runs, "--out", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "learning.json").read_text())["runs"]
    assert [run["label"] for run in told] == ["one", "another seed"]
    assert told[0]["differs"] == []
    assert len(told[1]["differs"]) == 1
    assert "seed" in told[1]["differs"][0]
    lines = (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()
    assert [row["episodes"] for row in told[0]["rows"]] == [
        json.loads(x)["episodes"] for x in lines
    ]
    assert any("evaluation" in row for row in told[0]["rows"])
    assert (tmp_path / "out" / "learning.png").stat().st_size > 1000


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl"):
        read_run(tmp_path)
