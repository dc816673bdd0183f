"""The recipes of CONTRIBUTING.md name files that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:cfg|md))`", TEXT)))
THINGS = ("schedule", "signal", "guidance loss", "reward", "inner optimizer", "task family")
THINGS += ("family over image files", "command", "page", "measure", "simulator")
THINGS += ("segmentation task", "report figure", "learner", "decision interval", "metric", "study")


@pytest.mark.parametrize("path", PATHS)
def test_named_files_exist(path):
    # What is to be added has a place: the folder of its family, or the one beside.
    place = Path(path.split("NAME")[0] if "NAME" in path else path)
    assert (ROOT / place).exists() or ((ROOT / place.parent).is_dir() and "NAME" in path), path


@pytest.mark.parametrize("thing", THINGS)
def test_there_is_a_recipe(thing):
    assert re.search(rf"^## An? {thing}", TEXT, re.MULTILINE)


def test_named_tables_and_rows_exist():
    for table in set(re.findall(r"`([A-Z][A-Z_]{3,})`", TEXT)):
        sources = [
            path
            for top in ("l2o", "envs", "policies", "benchmarks", "tests")
            for path in (ROOT / top).rglob("*.py")
        ]
        assert any(
            re.search(rf"^{table}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
            for path in sources
        ), table
