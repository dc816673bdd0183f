"""Presets of `l2o train` that learn a simulator."""

import json

import pytest
from commands import run
from simulator_cases import WORDS

from l2o.configs.load import load_config
from l2o.policies.reinforce.simulators.train import LearningToSimulate


def test_shares_of_sources_are_learned_and_shown(tmp_path):
    words = [*WORDS[1:], "trials=4", "images=20"]
    run("train", "simulator-shares", *words, "--out", str(tmp_path / "run"))
    plain = json.loads((tmp_path / "run" / "simulator.json").read_text())["distribution"]
    assert [*plain["scenarios"]] == ["poses", "looks"]
    assert sum(each["weight"] for each in plain["scenarios"].values()) == pytest.approx(1.0)
    assert "poses 50 %, looks 50 %" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("name", ["ppo", "random", "optuna", "widening"])
def test_the_preset_takes_another_search_by_its_name(name, tmp_path):
    config = load_config("train", "simulator-digits", [f"search.name={name}", WORDS[1]])
    assert LearningToSimulate(config, tmp_path).search.batch == 8
