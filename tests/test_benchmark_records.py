"""Records of finished fine-tunes: torn, foreign, of an earlier release, of changed code."""

import os
import textwrap

import pytest
from benchmark_cases import config, one_cell

from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cells.cell import run_cell
from l2o.benchmarks.cells.code_hash import hash_code
from l2o.benchmarks.cells.record import RECORD_VERSION, Record
from l2o.benchmarks.cells.record_file import append, mend, read, read_records
from l2o.files.atomic import DamagedFileError

# --- records


def test_torn_lines_are_passed_over_and_ended(tmp_path):
    path = tmp_path / "cells.jsonl"
    append(path, {"id": "a", "error": None})
    with path.open("a") as file:
        file.write('{"id": "b", "err')
    assert set(read(path)) == {"a"}
    mend(path)
    append(path, {"id": "c", "error": None})
    append(path, {"id": "a", "error": "later counts"})
    assert {id: record["error"] for id, record in read(path).items()} == {
        "a": "later counts",
        "c": None,
    }


def test_records_refuse_what_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        append(tmp_path / "cells.jsonl", {"id": "a", "x": float("nan")})
    assert not (tmp_path / "cells.jsonl").exists()


def test_records_are_checked_when_read(tmp_path):
    path = tmp_path / "cells.jsonl"
    record = run_cell(one_cell())
    append(path, record)
    assert read_records(path, Record) == {record.id: record}
    append(path, record.model_dump() | {"steps": "many"})
    told = r"cells\.jsonl holds no record in line 2 \('steps': .*integer.*delete that line"
    with pytest.raises(DamagedFileError, match=told):
        read_records(path, Record)
    path.unlink()
    append(path, record.model_dump() | {"version": RECORD_VERSION + 1})
    with pytest.raises(DamagedFileError, match=r"newer release in line 1.*update l2o"):
        read_records(path, Record)


def test_records_of_an_earlier_release_are_run_again_with_a_word(tmp_path, caplog):
    settings = config(rows=(), tasks=1, seeds=1)
    old = {"id": "0" * 16, "error": None, "target_accuracy": 0.5}
    append(tmp_path / "cells.jsonl", old)
    run_benchmark(settings, tmp_path, workers=1, progress=False)
    assert len(read(tmp_path / "cells.jsonl")) == 1 + len(make_plan(settings).cells)
    assert "1 records in" in caplog.text
    assert "of an earlier release; what they hold is run again" in caplog.text


def test_changed_code_of_a_policy_makes_new_cells(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = textwrap.dedent(
        """
        import torch
        from l2o.deciding.policy import Policy
from l2o.files.atomic import DamagedFileError
        class Mine(Policy):
            def __call__(self, observation, state):
                return torch.full(observation.shape[:1], {factor}), state
        """
    )
    ids = []
    for factor in (1.0, 0.5, 1.0):
        path = tmp_path / "own_policy.py"
        path.write_text(source.format(factor=factor))
        os.utime(path, ns=(len(ids) * 10**9, len(ids) * 10**9))
        ids.append(one_cell(policy="own_policy:Mine").id)
    assert ids[0] == ids[2] != ids[1]
    assert set(hash_code({"guidance": {"own_policy:Mine": {}}, "name": "a b:c"})) == {
        "own_policy:Mine"
    }
    assert hash_code(["no_such_module_here:Mine"]) == {}
