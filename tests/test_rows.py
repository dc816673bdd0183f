"""What a row of a benchmark says about its fine-tunes reaches each of them, and its identity."""

import dataclasses

import pytest
from stacked_cells import settings, stacked_records

from l2o.benchmarks import make_plan
from l2o.benchmarks.cells.cell import begin, run_cell
from l2o.benchmarks.cells.stackable import why_alone
from l2o.configs.schema import Row

OWN = {
    "guard": {"guard": True},
    "groups": {"groups": 2},
    "groups by pattern": {"groups": {"early": "first|second", "late": "head"}},
    "sample": {"policy": "asg-2020", "sample": True},
}


def cells_of(**changes):
    learned = {} if "policy" in changes else {"policy": "trust-ratio"}
    rows = (Row(label="a", **learned, **changes),)
    return make_plan(settings(tasks=1, base_lr_factors=(1.0,), rows=rows)).cells


@pytest.mark.parametrize("name", OWN)
def test_a_row_with_a_setting_of_its_own_has_cells_of_its_own(name):
    changes = OWN[name]
    plain = {"policy": changes["policy"]} if "policy" in changes else {}
    mine, theirs = cells_of(**changes), cells_of(**plain)
    assert {cell.id for cell in mine}.isdisjoint(cell.id for cell in theirs)


def test_a_guarded_row_has_the_guard_and_no_other_has():
    assert begin(cells_of(guard=True)[0]).controller.guard is not None
    assert begin(cells_of()[0]).controller.guard is None
    assert why_alone(cells_of(guard=True)[0]) == "guard or groups of its row"


def test_groups_of_a_row_are_those_of_its_controller():
    plain, merged, named = (
        [group.name for group in begin(cells_of(**changes)[0]).controller.groups]
        for changes in ({}, {"groups": 2}, OWN["groups by pattern"])
    )
    assert len(plain) == 3
    assert len(merged) == 2
    assert named == ["early", "late"]


def test_a_rule_is_the_same_row_as_a_policy_and_as_a_rule():
    named, ruled = (
        make_plan(settings(tasks=1, rows=(Row(label="a", **given),)))
        for given in ({"policy": "trust-ratio"}, {"rule": "trust_ratio"})
    )
    assert [cell.id for cell in named.cells] == [cell.id for cell in ruled.cells]
    assert named.rows[0].kind == ruled.rows[0].kind == "row"


def test_a_row_that_samples_draws():
    assert cells_of(policy="asg-2020", sample=True)[0].choice.sample


def test_rows_with_and_without_a_guard_run_together():
    row = {"policy": "trust-ratio"}
    rows = (Row(label="a", **row), Row(label="b", guard=True, **row))
    config = settings(tasks=1, seeds=1, base_lr_factors=(1.0,), rows=rows, steps=10)
    records, _ = stacked_records(config)
    for cell in make_plan(config).cells:
        found, alone = records[cell.id], run_cell(cell)
        assert found.error is None
        assert found.scores.keys() == alone.scores.keys()
        assert dataclasses.replace(cell, guard=not cell.guard).id in records
