"""`l2o finetune`: results and picture of one fine-tune, under a schedule and under a policy."""

import json

import pytest
import torch
from matplotlib.image import imread
from typer.testing import CliRunner

import l2o
from l2o.configs.finetune import FinetuneConfig
from l2o.service.cli import app
from l2o.service.finetuning.run import run_finetune


def config(**fields):
    base = {"task": {"name": "tiny:TinyFamily"}, "finetuning": {"interval": 5}}
    return FinetuneConfig.model_validate(base | fields)


def bundle(tmp_path):
    torch.manual_seed(0)
    spec = l2o.SignalSpec()
    network = l2o.LayerPolicyNetwork(len(spec), 1, hidden=8)
    policy = l2o.LearnedPolicy(network, l2o.LogRange(0.01, 1.0), spec, 5)
    return l2o.save_policy(tmp_path / "bundle", policy, {"name": "mine"})


def test_under_a_schedule(tmp_path):
    choice = {"schedule": "cosine", "profile": "small_backbone"}
    results = json.loads(run_finetune(config(choice=choice, base_lr=0.1), tmp_path).read_text())
    rates = results["learning_rates"]
    assert results["choice"] == "cosine, small_backbone"
    assert rates["base_lr"] == pytest.approx(0.1)
    assert rates["groups"] == ["first", "second", "head"]
    assert rates["multipliers"][0] == [0.1, 0.1, 1.0]
    assert rates["step"] == [0, 5, 10, 15, 20]
    assert 0 <= results["scores"]["target_test"]["accuracy"] <= 1
    picture = imread(tmp_path / "figures" / "learning_rates.png")
    assert picture.shape[0] > 400
    assert picture.std() > 0.05, "the picture is not blank"


def test_under_a_policy_by_the_command(tmp_path):
    settings = tmp_path / "own.yaml"
    settings.write_text("task: {name: 'tiny:TinyFamily'}\nfinetuning: {interval: 5}\n")
    arguments = ["finetune", str(settings), "--policy", str(bundle(tmp_path))]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "target accuracy 0." in result.output
    assert (tmp_path / "out" / "figures" / "learning_rates.png").is_file()
    assert json.loads((tmp_path / "out" / "results.json").read_text())["choice"] == "policy bundle"


def test_the_same_seed_is_the_same_fine_tune(tmp_path):
    one, two = (
        json.loads(run_finetune(config(seed=3), tmp_path / name).read_text()) for name in "ab"
    )
    timed = {"seconds": 0, "images_per_second": 0, "sha256": ""}
    assert one | timed == two | timed


def test_a_diverging_run_is_reported_and_drawn(tmp_path):
    results = json.loads(run_finetune(config(base_lr=1e30), tmp_path).read_text())
    assert results["diverged"]
    assert (tmp_path / "figures" / "learning_rates.png").is_file()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choice": {"schedule": "cosin"}}, "Did you mean 'cosine'"),
        ({"choice": {"policy": "nope"}}, "unknown policy 'nope'"),
        ({"finetuning": {"guidance": {"proxy": {}}}}, "unknown guidance 'proxy'"),
        ({"task": {"name": "digits", "options": {"splitt": 1}}}, "Did you mean 'split'"),
    ],
)
def test_bad_choices_fail_before_any_work(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        run_finetune(config(**fields), tmp_path / "out")
    assert not (tmp_path / "out").exists()
