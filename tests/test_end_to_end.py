"""The commands one after the other, for real, on a tiny task family."""

import json

import pytest
from typer.testing import CliRunner

from l2o.service.cli import app

TRAIN = """
name: tiny
task: {name: "tiny:TinyFamily"}
finetuning: {interval: 5}
environment: {base_lr: [0.01, 0.1]}
algorithm: {name: ppo, options: {decisions: 16, minibatches: 2, epochs: 1}}
environments: 4
workers: 1
episodes: 8
evaluation: {every: 1, tasks: 1, base_lrs: [0.05]}
"""
COMPARE = """
task: {name: "tiny:TinyFamily", options: {split: heldout}}
finetuning: {interval: 5}
tasks: 2
seeds: 2
base_lr_factors: [0.1, 1.0]
grid: {schedules: [cosine], profiles: [flat, frozen_backbone]}
"""


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_train_finetune_benchmark_report(tmp_path):
    (tmp_path / "train.yaml").write_text(TRAIN)
    (tmp_path / "compare.yaml").write_text(COMPARE)
    policy, table = tmp_path / "policy", tmp_path / "table"
    learned = run("train", tmp_path / "train.yaml", "--out", policy)
    assert "fine-tune steps/s" in learned
    assert "stepping" in learned
    assert "name: tiny" in run("policies", policy)
    run("benchmark", tmp_path / "compare.yaml", f"policy={policy}", "--out", table, "--workers", 1)
    results = json.loads((table / "results.json").read_text())
    assert results["counts"]["fine_tunes"] == 3 * 2 * 2 * 2
    assert results["failures"] == []
    assert results["rows"][0]["label"] == "learned policy"
    assert results["figures"]
    printed = run("report", table)
    assert "learned policy" in printed
    report = (table / "report.html").read_text()
    assert "data:image/png;base64," in report
    assert "http://" not in report.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--policy", "asg-bose"], "Did you mean 'asg-base'?"),
        (["task.name=nope"], "unknown task 'nope'"),
        (["choice.schedule=cosinus"], "Did you mean 'cosine'?"),
    ],
)
def test_a_refused_finetune_leaves_no_folder(tmp_path, wrong, words):
    result = CliRunner().invoke(app, ["finetune", "digits", "--out", str(tmp_path / "a"), *wrong])
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "a").exists()
