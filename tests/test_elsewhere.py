"""The comparison on a task of none of the families."""

import json

import torch
from commands import succeed

from l2o.benchmarks.studies import foreign_task as elsewhere
from l2o.deciding.schedule_policy import SchedulePolicy


def test_the_glyphs_are_ten_different_digits_in_range():
    glyphs = elsewhere.glyphs()
    assert glyphs.shape == (10, 4, 8, 8)
    assert glyphs.min() >= -1.0
    assert glyphs.max() <= 1.0
    flat = glyphs.flatten(1)
    assert torch.cdist(flat, flat).add(torch.eye(10) * 99).min() > 1.0


def test_fine_tuning_learns_the_glyphs_and_repeats_itself(monkeypatch):
    monkeypatch.setattr(elsewhere, "pretrained", lambda seed: elsewhere.make_network(4))
    torch.manual_seed(0)
    first = elsewhere.fine_tune(SchedulePolicy("cosine"), "AdamW", 1.0, seed=0)
    torch.manual_seed(0)
    assert elsewhere.fine_tune(SchedulePolicy("cosine"), "AdamW", 1.0, seed=0) == first
    assert first > 0.2


def test_a_row_per_optimizer_and_contender(monkeypatch, tmp_path):
    calls = []

    def scored(policy, optimizer, factor, seed):
        calls.append((optimizer, factor, seed))
        return 0.5 + 0.1 * seed

    monkeypatch.setattr(elsewhere, "fine_tune", scored)
    path = tmp_path / "told.json"
    printed = succeed("study", "foreign-task", "asg-lite", "--seeds", 2, "--json", path)
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told["rows"]) == 2 * 4
    assert len(calls) == 2 * 4 * 2 * 5
    assert told["rows"][0]["mean"] == 0.55
    assert (told["rows"][0]["low"], told["rows"][0]["high"]) == (0.5, 0.6)
    assert "asg-lite" in printed
    assert told["rows"][0]["accuracies"] == [[0.5] * 5, [0.6] * 5]
