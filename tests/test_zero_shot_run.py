"""The zero-shot comparison: a small one from end to end, its config and its presets."""

import io
import json
import re
from itertools import product

import pytest
from PIL import Image
from rich.console import Console
from tiny import TinyFamily
from zero_shot_cases import TINY, config

from l2o.benchmarks import make_plan, print_table, run_benchmark, write_report
from l2o.benchmarks.comparisons.zero_shot.figures import FIGURES
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.configs.catalog import list_presets, read_source
from l2o.configs.errors import ConfigError
from l2o.configs.load import load_config, load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig

ZERO_SHOT = [
    name
    for name in list_presets("benchmark")
    if isinstance(load_config("benchmark", name), ZeroShotConfig)
]


class Unimportable(TinyFamily):
    def __init__(self):
        raise ImportError("no such library; install it")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("zero_shot")
    run_benchmark(config(tasks=2), out, workers=1, progress=False)
    return out


def test_a_comparison_end_to_end(folder):
    data = json.loads((folder / "results.json").read_text())
    assert data["failures"] == []
    # Policy and lite at 3, two schedules at 3 and at one more of the grid's.
    assert data["counts"]["fine_tunes"] == 2 * 2 * (3 + 3 + 2 * (3 + 1))
    assert data["families"]["new"]["steps"] == [10]
    assert load_config("benchmark", folder / "config.yaml") == config(tasks=2)
    write_report(folder / "new")
    for name, family in product(("report.html", "report.md"), (".", "new")):
        assert (folder / family / name).stat().st_size > 1000
    assert {path.stem for path in (folder / "figures").glob("*.png")} == set(FIGURES)
    assert all(Image.open(path).width > 800 for path in (folder / "figures").glob("*.png"))
    assert isinstance(load_config("benchmark", folder / "seen" / "config.yaml"), BenchmarkConfig)


def test_the_report_shows_claims_and_loads_nothing(folder):
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count("src=") == page.count('src="data:image/png;base64,') == len(FIGURES)
    for text in ("Halve − grid tuned by source validation", "new (unseen)", "interval above 0"):
        assert text in page


def test_the_terminal_tables_fit_100_columns(folder):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_table(folder, console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "fine-tunes at use" in text


def test_it_goes_on_where_it_stopped(folder, tmp_path):
    before = json.loads((folder / "results.json").read_text())
    for name in ("seen", "new"):
        (tmp_path / name).mkdir()
        lines = (folder / name / "cells.jsonl").read_text().splitlines(keepends=True)
        kept = lines if name == "seen" else lines[:5]
        (tmp_path / name / "cells.jsonl").write_text("".join(kept))
    run_benchmark(config(tasks=2), tmp_path, workers=1, progress=False)
    for name in ("seen", "new"):
        old, new = ((place / name / "cells.jsonl").read_text() for place in (folder, tmp_path))
        assert len(new.splitlines()) == len(old.splitlines())
    assert (tmp_path / "seen" / "cells.jsonl").read_text() == (
        folder / "seen" / "cells.jsonl"
    ).read_text()
    after = json.loads((tmp_path / "results.json").read_text())
    changing = {"seconds": 0, "sha256": ""}
    assert after | changing == before | changing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": {"a": {"task": {"name": "digit"}}}}, "family 'a'.*Did you mean 'digits'"),
        ({"families": {"a": {"task": TINY, "base_lr": 0.1}}}, "no option 'base_lr'"),
        (
            {"families": {"a": {"task": {"name": "test_zero_shot_run:Unimportable"}}}},
            "families.a=null",
        ),
        ({"policy": "asg-bass"}, "asg-bass"),
        ({"lite": "no/such/folder"}, "no/such/folder"),
        ({"rows": [{"label": "Halve"}]}, "label 'Halve' is that of a policy"),
        ({"rows": [{"label": "constant, flat"}]}, "choose another"),
        ({"rows": [{"label": "a", "schedule": "cosin"}]}, "Did you mean 'cosine'"),
        ({"claims": [{"claim": "c", "rival": "oracel"}]}, "unknown row in the claim 'c'"),
        ({"claims": [{"claim": "c", "metric": "fail", "rival": "lite"}]}, "Did you mean 'failed'"),
    ],
)
def test_impossible_comparisons_fail_before_any_work(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_benchmark(config(**changes), tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out").exists()


# --- config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_lr_factors": [0.1, 10.0]}, "must hold 1"),
        ({"grid": {"schedules": ["cosine"]}}, "grid must have"),
        ({"families": {}}, "at least 1"),
        ({"families": {"../a": {"task": TINY}}}, "names a folder"),
        ({"families": {"figures": {"task": TINY}}}, "not 'figures'"),
        ({"families": {"a": {"tsk": TINY}}}, r"families.a.tsk.*Did you mean families.a.task"),
        (
            {"families": {"a": {"task": {**TINY, "options": {"base_lr": 1.0}}, "base_lr": 1.0}}},
            "base_lr twice",
        ),
    ],
)
def test_wrong_configs_are_explained(changes, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        config(**changes)


def test_a_family_may_set_its_default_base_lr():
    settings = config(families={"a": {"task": TINY, "base_lr": 0.001}})
    assert family_config(settings, "a").task.options == {"split": "heldout", "base_lr": 0.001}


PLANNED = {
    "zero-shot": (48, 20, "heldout"),
    "zero-shot-wide": (48, 20, "heldout"),
    "searches": (48, 10, "heldout"),
    "zero-shot-rules": (6, 12, "heldout"),
    "zero-shot-composed": (18, 6, "heldout"),
    "zero-shot-long": (12, 4, "heldout"),
    "composed-validation": (2, 16, "validation"),
}
"""Points of the grid, tasks of a family, and their split: what recommends sees none held out."""


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_presets_plan(name):
    settings = load_config("benchmark", name, ["policy=zero_shot_cases:Halve", "lite=null"])
    points = len(settings.grid.base_lr_factors)
    points *= len(settings.grid.schedules) * len(settings.grid.profiles)
    assert points == PLANNED[name][0]
    assert settings.tasks * settings.seeds == PLANNED[name][1]
    for family in settings.families:
        rows = make_plan(family_config(settings, family)).rows
        grid = sum(row.kind == "grid" for row in rows)
        assert grid * len(settings.grid.base_lr_factors) == PLANNED[name][0]
        assert settings.families[family].task.options["split"] == PLANNED[name][2]


def test_the_preset_says_how_many_fine_tunes_it_takes():
    policies = ["policy=zero_shot_cases:Halve", "lite=zero_shot_cases:Lite"]
    settings = load_config("benchmark", "zero-shot", policies)
    plans = [make_plan(family_config(settings, name)) for name in settings.families]
    text = read_source("benchmark", "zero-shot")[1]
    (told,) = re.findall(r"= ([\d,]+) fine-tunes", text)
    assert int(told.replace(",", "")) == sum(len(plan.cells) for plan in plans)


def test_a_file_extends_a_preset_and_tables_refuse_it(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("extends: zero-shot\ntasks: 2\nfamilies: {own: {task: {name: digits}}}\n")
    settings = load_config("benchmark", path, ["families.own.unseen=true"])
    assert isinstance(settings, ZeroShotConfig)
    assert settings.families["own"].unseen
    assert "digits" in settings.families
    fewer = load_config("benchmark", path, ["families.digits=null"])
    assert set(settings.families) - set(fewer.families) == {"digits"}
    with pytest.raises(ConfigError, match="over families"):
        load_table(path)
