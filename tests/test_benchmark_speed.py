"""The commands that compare whole benchmarks: what they pair and write, not the times."""

import json

import pytest
from commands import succeed
from stacked_cells import settings

from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed import precision
from l2o.benchmarks.studies.base import plain
from l2o.configs.load import dump_config
from l2o.configs.schema import Row


def test_cells_measures_and_writes(tmp_path):
    config, path = tmp_path / "config.yaml", tmp_path / "cells.json"
    config.write_text(dump_config(settings(rows=(Row(label="a"),))))
    printed = succeed("speed", "cells", config, "tasks=1", "--rounds", 1, "--json", path)
    results = json.loads(path.read_text())
    assert [row["fine_tunes"] for row in results["rows"]] == [4, 4]
    assert [row["name"] for row in results["rows"]] == ["one by one", "stacked"]
    assert all(len(row["seconds"]) == 1 for row in results["rows"])
    assert "fine-tunes per minute" in printed


def test_precision_pairs_formats_with_float32():
    rows = (Row(label="a", schedule="cosine"), Row(label="b", profile="small_backbone"))
    answer = list(precision.measure(settings(rows=rows, base_lr_factors=(1.0,))))
    found = {(row["format"], row["row"]): row for row in plain(answer)}
    assert set(found) == {
        (name, label)
        for name in ("float32", precision.ALONE, "bf16")
        for label in ("a", "b", "all rows")
    }
    for (name, label), row in found.items():
        target = row["target_accuracy"]
        assert target["value"] + found["float32", label]["target_accuracy"]["mean"] == (
            pytest.approx(target["mean"])
        )
        assert target["runs"] == 6  # of three tasks, two each
        if name != "bf16":
            assert target["value"] == pytest.approx(0.0, abs=1e-5)
    both = [found["bf16", label]["target_accuracy"]["value"] for label in ("a", "b")]
    assert found["bf16", "all rows"]["target_accuracy"]["value"] == pytest.approx(sum(both) / 2)
    lines = to_markdown(Table.of("", answer, precision.Precision.columns)).splitlines()
    assert len(lines) == 2 + 9
    assert {line.count("|") for line in lines} == {8}
