"""Damaged files: one message that names the file, nothing lost, nothing executed; caches anew."""

import json
import os

import numpy as np
import pytest
import torch
from commands import run, succeed

from l2o.files.atomic import DamagedFileError, write_atomically
from l2o.files.jsonl import append_row, end_torn_row, read_rows
from l2o.files.seals import open_json, read_json, read_sealed, seal_bytes, write_json
from l2o.policies.common.checkpoint import CHECKPOINT, PREVIOUS, load_checkpoint, save_checkpoint
from l2o.service.damage.damages import DAMAGES
from l2o.service.damage.kinds import kinds
from l2o.service.damage.study import Damage, table
from l2o.service.damage.templates import make_templates
from l2o.service.damage.trial import READ, REFUSED, Outcome, Trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    parent = tmp_path_factory.mktemp("damage")
    templates = make_templates(parent)
    (parent / "scratch").mkdir()
    return Trials(templates, kinds(templates), parent / "scratch")


KINDS = (
    "checkpoint",
    "log of a training",
    "config of a training",
    "results of a training",
    "policy's weights",
    "policy's card",
    "results",
    "records, for a report",
    "records, to go on",
    "samples",
    "config of a benchmark",
    "lock of a killed run",
    "cached tensors",
    "compiled kernels",
)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "unreadable"])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named_or_made_anew(kind, damage, trials):
    if kind not in trials.kinds:
        pytest.skip("no C++ compiler here, so no kernels")
    outcome = trials.run(kind, damage, np.random.default_rng([1, *kind.encode(), len(damage)]))
    assert not outcome.wrong, outcome.wrong


def test_all_kinds_are_tried(trials):
    assert set(trials.kinds) <= set(KINDS) == set(kinds(trials.templates))


def test_a_damaged_checkpoint_says_how_to_use_the_one_before_it(trials):
    outcome = trials.run("checkpoint", "cut", np.random.default_rng(3))
    assert "previous.pt to" in outcome.said
    assert "go on from iteration" in outcome.said


def test_the_table_shows_what_went_wrong():
    outcomes = [
        Outcome("results", "cut", REFUSED, "said", ""),
        Outcome("results", "cut", READ, "", "read"),
    ]
    assert table(outcomes).rows == [("results", "1 + 1 (1 WRONG)")]


def test_the_command_ends_well_only_if_nothing_went_wrong(monkeypatch, tmp_path):
    outcomes = [Outcome("results", "cut", REFUSED, "said", "")]
    monkeypatch.setattr("l2o.service.damage.study.run", lambda *_, **__: outcomes)
    printed = succeed("study", "damage", "--files", 1, "--json", tmp_path / "damage.json")
    assert "1 damaged files" in printed
    assert read_json(tmp_path / "damage.json", "")["outcomes"][0]["ended"] == REFUSED
    outcomes.append(Outcome("results", "cut", READ, "", "it was read"))
    ended = run("study", "damage", "--files", 2)
    assert ended.exit_code == 1
    assert "it was read" in ended.output
    assert Damage(files=2).holds(Damage(files=2).answer()) is False


# --- the parts


def state(iteration):
    facts = {"best": None, "evaluations": [], "evaluated": 0, "seconds": 1.0}
    return {"learner": {"weight": torch.ones(3)}, "iteration": iteration, **facts}


def test_the_checkpoint_before_the_latest_stays(tmp_path):
    for iteration in (1, 2, 3):
        save_checkpoint(tmp_path, state(iteration))
    assert load_checkpoint(tmp_path)["iteration"] == 3
    os.replace(tmp_path / PREVIOUS, tmp_path / CHECKPOINT)
    assert load_checkpoint(tmp_path)["iteration"] == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["latest.pt"]


def test_a_lost_checkpoint_does_not_begin_anew(tmp_path):
    assert load_checkpoint(tmp_path) is None
    with pytest.raises(DamagedFileError, match=r"latest\.pt is missing"):
        load_checkpoint(tmp_path, written=True)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DamagedFileError, match=r"latest\.pt is missing"):
        load_checkpoint(tmp_path)


def test_checkpoints_without_a_seal_load(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save(state(7), tmp_path / CHECKPOINT)
    assert load_checkpoint(tmp_path)["iteration"] == 7


def test_sealed_checkpoints_are_torch_files_for_others_too(tmp_path):
    save_checkpoint(tmp_path, state(5))
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["iteration"] == 5


def test_seals_of_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"without a seal")
    assert read_sealed(path, "remedy") == b"without a seal"
    path.write_bytes(seal_bytes(b"content"))
    assert read_sealed(path, "remedy") == b"content"
    path.write_bytes(seal_bytes(b"content").replace(b"content", b"contemt"))
    with pytest.raises(DamagedFileError, match=r"file is damaged .*; remedy"):
        read_sealed(path, "remedy")


def test_seals_of_json_are_of_the_content_not_of_its_looks(tmp_path):
    path = tmp_path / "file.json"
    data = {"b": [1, 2.5, 1e-7, None, "−"], "a": {3: True}}
    write_json(path, data)
    plain = {"b": data["b"], "a": {"3": True}}
    assert read_json(path, "") == plain
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_json(path, "") == plain
    path.write_text(path.read_text().replace("2.5", "2.4"))
    with pytest.raises(DamagedFileError, match="take out its field 'sha256'"):
        read_json(path, "")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"x": float("nan")})


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "[" * 100_000, b"\xff{}"], ids=list("abcdef"))
def test_what_is_no_json_mapping_is_named(text, tmp_path):
    with pytest.raises(DamagedFileError, match=r"results\.json is damaged"):
        open_json(tmp_path / "results.json", text, "")


def test_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_rows(path, "") == []
    for number in range(3):
        append_row(path, {"number": number})
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert [row["number"] for row in read_rows(path, "")] == [0, 1]
    assert end_torn_row(path, "") == len(whole) // 3 - 10
    append_row(path, {"number": 9})
    assert [row["number"] for row in read_rows(path, "")] == [0, 1, 9]
    path.write_bytes(whole.replace(b'"number":1', b'"number":7'))
    for reads in (read_rows, end_torn_row):
        with pytest.raises(DamagedFileError, match=r"in line 2 .*; remedy"):
            reads(path, "remedy")
    path.write_bytes(whole[:-10] + bytes(10))
    with pytest.raises(DamagedFileError, match="in line 3"):
        read_rows(path, "")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file") as caught:
        write_atomically(tmp_path / "file", "text")
    assert caught.value.filename == str(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
