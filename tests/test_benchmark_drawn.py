"""Policies on the same drawn episodes: what is paired, what parts, what is refused."""

import numpy as np
import pytest
from commands import run, succeed
from test_train import config

from l2o.benchmarks.studies import drawn_episodes as drawn
from l2o.configs.load import dump_config
from l2o.deciding.bundle import save_policy
from l2o.policies.common.evaluation import Ended, Evaluator
from l2o.policies.common.networks import build_layer_network, export_policy


def compare(names, config, episodes, by):
    study = drawn.DrawnEpisodes(policies=tuple(names), episodes=episodes, by=by)
    return study.compare(config)


@pytest.fixture
def given(tmp_path):
    made = config(
        task={"name": "digits", "options": {"networks": 2, "pretrain_steps": 4, "steps": 10}}
    )
    policy = export_policy(made, build_layer_network(made))
    for name in ("one", "same"):
        save_policy(tmp_path / name, policy, {"name": name})
    (tmp_path / "config.yaml").write_text(dump_config(made))
    return tmp_path, made


def test_rows_are_means_over_the_same_episodes(given):
    folder, made = given
    names = [str(folder / "one"), str(folder / "same")]
    rows = compare(names, made, 4, "network")
    assert [row.episodes for row in rows if row.part == "all"] == [4, 4]
    assert sum(row.episodes for row in rows if row.policy == names[0]) == 2 * 4
    assert {row.difference.value for row in rows} == {0.0}
    evaluator = Evaluator(made)
    ended = evaluator.drawn(drawn.load_policy(names[0]), range(2**21, 2**21 + 4))
    evaluator.close()
    expected = np.mean([each.accuracy for each in ended])
    assert rows[0].accuracy.value == pytest.approx(expected, abs=1e-6)
    told = ["--config", folder / "config.yaml", "--episodes", 2]
    path = folder / "new" / "rows.json"
    assert "all" in succeed("study", "drawn-episodes", names[0], *told, "--json", path)
    assert (folder / "new" / "rows.json").is_file()


@pytest.mark.parametrize("told", [False, True])
def test_a_policy_is_told_what_it_was_told_while_it_learned(given, told, monkeypatch):
    folder, made = given
    learned = made.model_dump(mode="json")
    learned["environment"]["validation"] = told
    save_policy(folder / "one", drawn.load_policy(str(folder / "one")), {"config": learned})
    shown = []

    def watched(self, policy, numbers, seen):
        shown.append(seen.environment.validation)
        return [Ended(0.5, 0.1, False) for _ in numbers]

    monkeypatch.setattr(Evaluator, "drawn", watched)
    compare([str(folder / "one")], made, 2, None)
    assert shown == [told]


def test_what_it_does_not_look_at(given):
    folder, made = given
    heldout = config(task={"name": "digits", "options": {"split": "heldout"}})
    with pytest.raises(ValueError, match="split='heldout' is not looked at here"):
        compare([str(folder / "one")], heldout, 2, None)
    with pytest.raises(ValueError, match=r"tasks have no 'colour'; they have .*network"):
        compare([str(folder / "one")], made, 2, "colour")
    assert run("study", "drawn-episodes", "asg-base", "--episodes", 1).exit_code == 2
