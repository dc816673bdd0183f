"""Shipping a policy: its card gains results, limits and the command that made it."""

import json

import pytest
import torch

import l2o
from l2o.benchmarks.comparisons.table.plan import fingerprint
from l2o.benchmarks.ship import ship


@pytest.fixture
def run(tmp_path):
    spec = l2o.SignalSpec(("present", "progress"))
    torch.manual_seed(0)
    policy = l2o.LearnedPolicy(l2o.LayerPolicyNetwork(2, 1, hidden=4), l2o.LogRange(), spec)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("episodes: 7")
    told = {"episodes": 7, "seconds": 90.0}
    (tmp_path / "run" / "results.json").write_text(json.dumps(told))
    card = {"name": "tiny", "results": {}, "trained_on": {"fine_tunes": 5}}
    return l2o.save_policy(tmp_path / "run", policy, card)


def benchmark(tmp_path, mark, about="task"):
    results = {"title": "t", about: "digits", "counts": {}, "figures": [{"value": 1.0}]}
    results["policies"] = [{"label": "learned policy", "fingerprint": mark}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def test_ships_under_its_name_with_results(run, tmp_path):
    folder = ship(run, benchmark(tmp_path, fingerprint(str(run))), "none known", tmp_path / "zoo")
    card = l2o.read_card(folder)
    assert folder.name == "tiny"
    assert card["results"]["benchmark"]["figures"] == [{"value": 1.0}]
    assert card["config"]["episodes"] == 7
    assert card["limits"] == "none known"
    # What ships is the best of its run, which went on after it.
    whole = {"fine_tunes": 5, "fine_tunes_of_the_run": 7, "minutes_of_the_run": 1.5}
    assert card["trained_on"] == whole
    assert card["reproduce"] == "l2o train tiny"
    seen = torch.ones(3, 2)
    assert torch.equal(l2o.load_policy(folder)(seen, {})[0], l2o.load_policy(run)(seen, {})[0])


def test_a_pupils_card_tells_what_its_teacher_took(run, tmp_path):
    (run / "config.yaml").write_text("imitation: {policy: asg-base}")
    card = l2o.read_card(ship(run, None, "none known", tmp_path / "zoo"))
    teacher = l2o.read_card("asg-base")["trained_on"]["fine_tunes_of_the_run"]
    assert card["trained_on"]["fine_tunes_of_the_teacher"] == teacher


def test_ships_with_a_comparison_over_families(run, tmp_path):
    results = benchmark(tmp_path, fingerprint(str(run)), about="families")
    card = l2o.read_card(ship(run, results, "none known", tmp_path / "zoo"))
    assert card["results"]["benchmark"]["families"] == "digits"


def test_results_of_another_policy_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="did not benchmark this policy"):
        ship(run, benchmark(tmp_path, "0" * 16), "", tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_known_limits_stay_with_the_weights_they_were_measured_on(run, tmp_path):
    zoo, told = tmp_path / "zoo", ["A rule ties it.", "It ends at chance under SGD."]
    mark = fingerprint(str(ship(run, None, "none", zoo)))
    assert l2o.read_card(zoo / "tiny")["known_limits"] == []
    ship(run, None, "none", zoo, known_limits=told)
    assert l2o.read_card(zoo / "tiny")["known_limits"] == told
    assert fingerprint(str(zoo / "tiny")) == mark  # measured results stay valid
    ship(run, None, "other words", zoo)
    assert l2o.read_card(zoo / "tiny")["known_limits"] == told
    policy = l2o.load_policy(run)
    with torch.no_grad():
        next(policy.network.parameters()).add_(1.0)
    l2o.save_policy(run, policy, l2o.read_card(run))
    ship(run, None, "none", zoo)
    assert l2o.read_card(zoo / "tiny")["known_limits"] == []


@pytest.mark.parametrize("told", ["A rule ties it.", ["A rule ties it.", " "], [3]])
def test_known_limits_are_sentences(run, tmp_path, told):
    with pytest.raises(ValueError, match="known limits must be a list of sentences"):
        ship(run, None, "none", tmp_path / "zoo", known_limits=told)
    assert not (tmp_path / "zoo").exists()


SHIPPED = ["asg-base", "asg-lite", "asg-wide", "asg-probing", "asg-2020", "asg-2020-memoryless"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_cards_tell_what_the_policy_does_not_do(name):
    told = l2o.read_card(name)["known_limits"]
    assert told
    assert any("trust ratio" in sentence for sentence in told)
    assert all(sentence.endswith(".") and sentence.isascii() for sentence in told)
