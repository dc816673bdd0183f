"""Presets with a second stage: runs on miniatures of the data sets, and rows of tables."""

import json

import pytest
from paper_presets import data_sets, preset, small_networks

from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.configs.load import load_config
from l2o.service.finetuning.run import check, run_finetune

SHORT = (
    "adaptation.rounds=2",
    "adaptation.steps=2",
    "adaptation.batch_size=4",
    "evaluations=1",
    "task.options.unlabelled=0.5",
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    small_networks(monkeypatch)
    return data_sets(tmp_path / "data")


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", ["visda17-cbst", "gta5-cbst"])
def test_a_whole_run_of_two_rounds(name, root, tmp_path):
    config = preset(name, root, *SHORT, steps=2)
    results = json.loads(run_finetune(config, tmp_path / "out").read_text())
    rounds = results["adaptation"]["rounds"]
    assert [each["round"] for each in rounds] == [1, 2]
    assert rounds[0]["labelled_images"] > 0
    lines = (tmp_path / "out/pseudo_labels/round-2.csv").read_text().splitlines()
    assert len(lines) == 1 + results["adaptation"]["unlabelled_images"]
    first, second = results["learning_rates"]["stages"].values()
    assert (first, second) == (0, 2)


@pytest.mark.parametrize("name", ["selftraining-table", "garments-adapt"])
def test_rows_of_tables(name):
    config = load_config("benchmark", name)
    plan = make_plan(config)
    assert len({cell.id for cell in plan.cells}) == sum(len(row.cells) for row in plan.rows)
    stages = [row.cells[0].adaptation for row in plan.rows]
    assert [stage is None for stage in stages].count(True) == 2
    published = [row.published.get("target_accuracy") for row in plan.rows]
    assert {52.4, 61.17, 76.4, 82.5, 83.75, 85.25} <= set(published)


def test_garments_adapt_can_run():
    check(load_config("finetune", "garments-adapt"))
