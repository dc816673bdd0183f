"""The zero-shot comparison: its claims on made-up results, and a small one from end to end."""

import io
import json
import re
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny import TinyFamily

from l2o.benchmarks import make_plan, print_table, run_benchmark, write_report
from l2o.benchmarks.comparison import DEFAULT, MISJUDGED
from l2o.benchmarks.zero_shot.bootstrap import compare, estimate, interquartile_mean, mean
from l2o.benchmarks.zero_shot.claims import Bounds, judge
from l2o.benchmarks.zero_shot.cost import count_cost
from l2o.benchmarks.zero_shot.figures import FIGURES
from l2o.benchmarks.zero_shot.figures.profiles import profile
from l2o.benchmarks.zero_shot.plan import family_config
from l2o.benchmarks.zero_shot.scores import gather_contenders
from l2o.benchmarks.zero_shot.summary import summarise
from l2o.bundle import read_card
from l2o.configs.catalog import list_presets, read_source
from l2o.configs.errors import ConfigError
from l2o.configs.load import check_config, load_config, load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.policy import Policy

TINY = {"name": "tiny:TinyFamily", "options": {"split": "heldout"}}
ZERO_SHOT = [
    name
    for name in list_presets("benchmark")
    if isinstance(load_config("benchmark", name), ZeroShotConfig)
]


class Halve(Policy):
    """Stands for a learned policy: each layer half of the one above."""

    def __call__(self, observation, state):
        return 0.5 ** torch.arange(len(observation)).flip(0).float(), state


class Lite(Halve):
    pass


class Unimportable(TinyFamily):
    def __init__(self):
        raise ImportError("no such library; install it")


def config(**changes):
    data = {
        "families": {
            "seen": {"task": TINY},
            "new": {"task": {**TINY, "options": {"split": "heldout", "steps": 10}}, "unseen": True},
        },
        "policy": "test_zero_shot:Halve",
        "lite": "test_zero_shot:Lite",
        "tasks": 4,
        "base_lr_factors": [0.1, 1.0, 10.0],
        "grid": {
            "schedules": ["constant"],
            "profiles": ["flat", "frozen_backbone"],
            "base_lr_factors": [1.0, 3.0],
        },
        "bootstrap": 200,
    }
    return check_config(ZeroShotConfig, {**data, **changes}, "a test")


# --- claims on made-up results

SCORES = {
    "Halve": {0.1: 0.6, 1.0: 0.7, 10.0: 0.65},
    "flat": {0.1: 0.3, 1.0: 0.5, 3.0: 0.6, 10.0: 0.1},
    "frozen_backbone": {0.1: 0.2, 1.0: 0.55, 3.0: 0.65, 10.0: 0.4},
}


def made_up(family, cell):
    """Return a record whose scores are plain enough to do sums on."""
    name = (cell.choice.policy or cell.choice.profile.name).rpartition(":")[2]
    target = SCORES["Halve" if name == "Lite" else name][cell.base_lr_factor]
    if name in ("Halve", "Lite") and cell.base_lr_factor == 1.0:
        target += 0.01 * cell.task_seed
    if name == "Lite":
        target -= 0.005
    # Both settings of `flat` look perfect on source images; the loss tells which is preferred.
    liked = 1.0 if family == "seen" else 3.0
    first = (name, family, cell.task_seed, cell.base_lr_factor) == ("Halve", "seen", 0, 0.1)
    return {
        "id": cell.id,
        "error": None,
        "task_seed": cell.task_seed,
        "seed": cell.seed,
        "base_lr_factor": cell.base_lr_factor,
        "target_accuracy": target,
        "proxy_accuracy": 0.5,
        "source_accuracy": 1.0 if name == "flat" else 0.9,
        "source_validation_loss": 0.2 if cell.base_lr_factor == liked else 0.3,
        "diverged": first,
        "chance": 0.1,
        "steps": 20,
        "seconds": 0.5,
        "learning_rates": {"base_lr": 0.05 * cell.base_lr_factor},
    }


def records_of(settings):
    families = {}
    for name in settings.families:
        plan = make_plan(family_config(settings, name))
        families[name] = plan, {cell.id: made_up(name, cell) for cell in plan.cells}
    return families


@pytest.fixture(scope="module")
def data():
    return summarise(config(), records_of(config()), workers=1)


def figure(data, claim, setting=None):
    found = [
        entry
        for entry in data["figures"]
        if entry["claim"] == claim and (setting is None or setting in entry["figure"])
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("claim", "setting", "value", "holds"),
    [
        # Policy at 1: .70 to .73 on each family, so .715; over base LRs .65 to .66, so .655.
        # By source validation: .5 on the first family, .6 on the second, so .55.
        ("grid by source validation", DEFAULT, 16.5, True),
        ("grid by source validation", MISJUDGED, 10.5, True),
        # By target accuracy: .65.
        ("grid by target accuracy (oracle)", DEFAULT, 6.5, True),
        ("grid by target accuracy (oracle)", MISJUDGED, 0.5, True),
        # Flat: (.3 + .5 + .1) / 3; frozen: (.2 + .55 + .4) / 3, which is harder to beat.
        ("untuned schedules", MISJUDGED, 100 * (0.655 - 1.15 / 3), True),
        # One of 2 families x 4 tasks x 3 base LRs diverged.
        ("runs at chance or diverged", None, 100 / 24, False),
        ("unseen: new", DEFAULT, 11.5, True),
        ("unseen: new", MISJUDGED, 5.5, True),
        ("lite policy", DEFAULT, -0.5, True),
        ("lite policy", MISJUDGED, -0.5, True),
        ("cost at use", None, 1.0, True),
    ],
)
def test_claims_are_what_a_hand_computes(data, claim, setting, value, holds):
    found = figure(data, claim, setting)
    assert found["value"] == pytest.approx(value, abs=6e-4)
    assert found["holds"] is holds
    if found["low"] is not None:
        assert found["low"] <= found["value"] <= found["high"]


def test_claims_say_what_they_are_about(data):
    assert len(data["figures"]) == 11
    for entry in data["figures"]:
        assert {"figure", "value", "must", "goal", "holds", "reaches_goal"} < set(entry)
    default = figure(data, "grid by source validation", DEFAULT)
    assert default["must"] == ">= 2, interval above 0"
    assert default["population"] == (
        "families seen, new: 8 held-out tasks, 8 runs; default base LR"
    )
    assert (default["improvement"], default["tasks_better"]) == (1.0, 8)
    untuned = figure(data, "untuned schedules")
    assert untuned["against"] == "constant, frozen backbone"
    assert "best of 2 untuned schedules" in untuned["figure"]
    assert figure(data, "lite policy", DEFAULT)["reaches_goal"] is False
    assert figure(data, "runs at chance or diverged")["diverged"] == 1


def test_rows_tell_what_each_costs_and_fails(data):
    rows = {row["label"]: row for row in data["rows"]}
    assert rows["constant, flat"]["at_chance"] == 8
    assert rows["constant, flat"]["fine_tunes_per_task"] == 1
    tuned = rows["grid tuned by source validation"]
    assert tuned["fine_tunes_per_task"] == 4
    assert {pick["factor"] for pick in tuned["families"]["seen"]["chosen"]} == {1.0}
    assert {pick["factor"] for pick in tuned["families"]["new"]["chosen"]} == {3.0}
    assert [e["factor"] for e in rows["Halve"]["families"]["new"]["by_factor"]] == [0.1, 1.0, 10.0]
    assert data["cost"] == {"at_use": 1, "tuning": 4, "training": None, "amortised_after": None}
    assert data["families"]["new"]["default_base_lr"] == [0.05]
    json.dumps(data, allow_nan=False)


def test_seeds_make_the_grid_dearer_and_are_averaged_by_selection():
    settings = config(seeds=2)
    families = records_of(settings)
    for plan, records in families.values():
        for cell in plan.cells:
            if cell.seed == 1 and cell.choice.profile.name == "frozen_backbone":
                # One lucky seed of the other profile, with the lower loss: 0.95 in the mean.
                records[cell.id] |= {"source_accuracy": 1.0, "source_validation_loss": 0.0}
    contenders = {c.kind: c for c in gather_contenders(settings, families)}
    assert contenders["source_validation"].fine_tunes == 4 * 2
    chosen = contenders["source_validation"].families["seen"].chosen
    assert {pick["label"] for pick in chosen} == {"constant, flat"}


def test_a_missing_run_takes_its_task_out_on_both_sides():
    families = records_of(config())
    plan, records = families["seen"]
    cell = next(
        cell for cell in plan.rows[0].cells if (cell.task_seed, cell.base_lr_factor) == (3, 1.0)
    )
    del records[cell.id]
    found = summarise(config(), families, workers=1)
    default = figure(found, "grid by source validation", DEFAULT)
    assert "7 held-out tasks" in default["population"]
    # .70 .70 .71 .71 .72 .72 .73 without one each side (7 // 4), and .5 x 3, .6 x 4.
    expected = 100 * ((0.70 + 0.71 * 2 + 0.72 * 2) / 5 - (0.5 * 2 + 0.6 * 3) / 5)
    assert default["value"] == pytest.approx(expected, abs=6e-4)
    assert [failure["label"] for failure in found["failures"]] == ["seen: learned policy"]
    assert found["counts"]["fine_tunes"] == found["counts"]["planned"] - 1


def test_one_task_gives_no_interval_and_no_verdict_that_needs_one():
    found = summarise(config(tasks=1), records_of(config(tasks=1)), workers=1)
    default = figure(found, "grid by source validation", DEFAULT)
    assert (default["low"], default["holds"]) == (None, None)
    assert figure(found, "grid by target accuracy (oracle)", DEFAULT)["holds"] is True


def test_without_a_lite_policy_its_row_and_claim_are_left_out():
    found = summarise(config(lite=None), records_of(config(lite=None)), workers=1)
    assert "lite policy" not in {entry["claim"] for entry in found["figures"]}
    assert "lite" not in {row["kind"] for row in found["rows"]}


def test_rivals_are_no_schedules_and_run_at_fewer_base_lrs_have_no_mean():
    rows = [
        {"label": "L2-SP", "profile": "flat", "guidance": {"l2_sp": {"weight": 0.1}}},
        {"label": "rule", "rule": "auto_rgn", "base_lr_factors": [1.0]},
        {"label": "at one", "schedule": "cosine", "profile": "flat", "base_lr_factors": [1.0]},
    ]
    found = summarise(config(rows=rows), records_of(config(rows=rows)), workers=1)
    rows = {row["label"]: row for row in found["rows"]}
    kinds = [rows[label]["kind"] for label in ("L2-SP", "rule", "at one")]
    assert kinds == ["rival", "rival", "schedule"]
    assert rows["at one"]["mean"] is None
    assert rows["at one"]["against"][MISJUDGED]["value"] is None
    assert rows["at one"]["against"][DEFAULT]["value"] == pytest.approx(0.215)
    assert "best of 2 untuned" in figure(found, "untuned schedules")["figure"]


# --- estimates


def test_differences_are_of_interquartile_means_and_in_pairs():
    first = np.array([[0.1], [0.5], [0.6], [0.9]])
    second = np.array([[0.4], [0.4], [0.5], [0.8]])
    found = compare([first], [second], resamples=50)
    assert found.estimate.value == pytest.approx(0.55 - 0.45)
    assert found.mean == pytest.approx(0.0)
    assert (found.improvement, found.tasks_better) == (0.75, 3)
    with pytest.raises(ValueError, match="same tasks"):
        compare([first], [second[:3]], resamples=50)


def test_intervals_resample_tasks_within_families():
    # Two tasks in each of two families: both lowest with probability 1/16, above 2.5 %. Were tasks
    # drawn over families, four times the lowest would have 1/256.
    first = [np.array([[0.5], [0.7]]), np.array([[0.1], [0.2]])]
    found = compare(first, [np.zeros((2, 1)), np.zeros((2, 1))], resamples=2000)
    assert found.estimate.low == pytest.approx((0.5 + 0.1) / 2)
    assert found.estimate.high == pytest.approx((0.7 + 0.2) / 2)


def test_equal_draws_for_equal_seeds_and_narrower_for_more_tasks():
    scores = np.random.default_rng(0).normal(0.5, 0.1, (40, 1))
    few, many = (estimate([part], interquartile_mean, 500) for part in (scores[:10], scores))
    assert estimate([scores], interquartile_mean, 500) == many
    assert many.high - many.low < few.high - few.low
    assert (many.tasks, many.runs) == (40, 40)


def test_runs_of_a_task_are_drawn_together():
    # The mean within each task is the same, so nothing varies when whole tasks are drawn.
    found = estimate([np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])], mean, 100)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("value", "low", "bounds", "holds", "reaches"),
    [
        (2.0, 0.1, Bounds(2, 5, must_clear=True), True, False),
        (6.0, -0.1, Bounds(2, 5, must_clear=True), False, True),
        (6.0, np.nan, Bounds(2, 5, must_clear=True), None, True),
        (1.0, np.nan, Bounds(2, 5, must_clear=True), False, False),
        (0.5, 0.1, Bounds(-1, 0, goal_clear=True), True, True),
        (0.5, -0.1, Bounds(-1, 0, goal_clear=True), True, False),
        (2.1, 1.0, Bounds(2, 0, at_least=False), False, False),
        (np.nan, np.nan, Bounds(2, 5), None, None),
    ],
)
def test_verdicts(value, low, bounds, holds, reaches):
    from l2o.benchmarks.zero_shot.bootstrap import Estimate

    entry = judge("c", "f", value, Estimate(value, low, low + 1, 3, 3), bounds)
    assert (entry["holds"], entry["reaches_goal"]) == (holds, reaches)
    json.dumps(entry, allow_nan=False)


def test_cost_is_amortised_in_whole_tasks():
    learned = read_card("asg-base")["trained_on"]["fine_tunes"]
    assert count_cost("asg-base", 1, 48)["amortised_after"] == -(-learned // 47)
    assert count_cost("asg-base", 1, 1)["amortised_after"] is None


def test_profiles_count_what_is_just_reached():
    found = profile(np.array([0.3, 0.3, 0.9]), np.array([0.0, 0.3, 0.31, 0.9, 1.0]))
    assert found.tolist() == pytest.approx([1, 1, 1 / 3, 1 / 3, 0])


# --- run


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
    assert after | {"seconds": 0} == before | {"seconds": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": {"a": {"task": {"name": "digit"}}}}, "family 'a'.*Did you mean 'digits'"),
        ({"families": {"a": {"task": TINY, "base_lr": 0.1}}}, "no option 'base_lr'"),
        ({"families": {"a": {"task": {"name": "test_zero_shot:Unimportable"}}}}, "families.a=null"),
        ({"policy": "asg-bass"}, "asg-bass"),
        ({"lite": "no/such/folder"}, "no/such/folder"),
        ({"rows": [{"label": "Halve"}]}, "label 'Halve' is that of a policy"),
        ({"rows": [{"label": "constant, flat"}]}, "choose another"),
        ({"rows": [{"label": "a", "schedule": "cosin"}]}, "Did you mean 'cosine'"),
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


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_presets_plan(name):
    settings = load_config("benchmark", name, ["policy=test_zero_shot:Halve", "lite=null"])
    points = len(settings.grid.base_lr_factors)
    points *= len(settings.grid.schedules) * len(settings.grid.profiles)
    assert points == 48
    assert settings.tasks * settings.seeds >= 10
    for family in settings.families:
        rows = make_plan(family_config(settings, family)).rows
        assert sum(row.kind == "grid" for row in rows) * 6 == 48
        assert settings.families[family].task.options["split"] == "heldout"


def test_the_preset_says_how_many_fine_tunes_it_takes():
    policies = ["policy=test_zero_shot:Halve", "lite=test_zero_shot:Lite"]
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
