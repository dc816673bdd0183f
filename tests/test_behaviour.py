"""What policies do to layer groups: means by hand, the verdict, the figure."""

from pathlib import Path

import pytest

from l2o.benchmarks.cells.record import LearningRates, Point, Record
from l2o.benchmarks.comparisons.results_file import Finished
from l2o.benchmarks.comparisons.table.behaviour import (
    behaviour_rows,
    behaviour_table,
    head_over_backbone,
    mean_factors,
)
from l2o.benchmarks.comparisons.table.figures.multipliers import draw_action_behaviour
from l2o.benchmarks.comparisons.table.result_models import RowResult, TableResults

GROUPS = ["stem", "block", "head"]


def record(multipliers, task=0, seed=0, groups=GROUPS, steps=(0, 10), end=40):
    return Record(
        id=f"{task}, {seed}",
        task_seed=task,
        seed=seed,
        base_lr_factor=1.0,
        steps=40,
        curve=(Point(step=end, scores={}, proxy_kl=None),),
        learning_rates=LearningRates(
            step=steps, groups=groups, multipliers=multipliers, base_lr=1.0
        ),
    )


def results(**policies):
    """Return the results of policies: label -> their records."""
    records = {f"{p}{i}": r for p, rs in policies.items() for i, r in enumerate(rs)}
    rows = [
        row("policy", label, [f"{label}{i}" for i in range(len(runs))])
        for label, runs in policies.items()
    ]
    rows.append(row("grid", "cosine", []))
    return Finished(Path(), TableResults.model_construct(rows=rows), records)


def row(kind, label, cells):
    return RowResult.model_construct(kind=kind, label=label, cells=cells, base_lr=None)


LOW = [[0.2, 0.4, 1.0], [0.0, 0.4, 0.6]]
HIGH = [[0.0, 0.0, 0.9], [0.0, 0.4, 0.5]]
RUNS = [record(LOW, 0, 0), record(HIGH, 0, 1), record(LOW, 1, 0), record(HIGH, 1, 1)]


def test_factors_are_weighted_by_the_steps_they_were_in_force():
    # 10 steps at the first factors, 30 at the second.
    assert mean_factors(RUNS[0]).tolist() == pytest.approx([0.05, 0.4, 0.7])


def test_a_decision_at_the_very_end_counts_for_nothing():
    late = record([*LOW, [1.0, 1.0, 0.0]], steps=(0, 10, 40))
    assert mean_factors(late).tolist() == pytest.approx([0.05, 0.4, 0.7])


def test_what_a_run_that_diverged_did_not_do_counts_for_nothing():
    short = record(LOW, end=20)
    assert mean_factors(short).tolist() == pytest.approx([0.1, 0.4, 0.8])


def test_head_over_backbone_is_the_mean_of_the_runs_differences():
    gaps = [0.7 - (0.05 + 0.4) / 2, 0.6 - (0.0 + 0.3) / 2]
    found = head_over_backbone(RUNS)
    assert found.value == pytest.approx(sum(gaps) / 2)
    assert (found.tasks, found.tasks_better) == (2, 2)


def test_the_table_tells_which_holds():
    turned = [record([row[::-1] for row in LOW], t, s) for t in range(2) for s in range(2)]
    mixed = [record(LOW, 0, 0), record([row[::-1] for row in LOW], 0, 1)]
    table = behaviour_table(results(asg=RUNS, turned=turned, mixed=mixed))
    assert table.columns == ("", *GROUPS, "head − backbone", "backbone < head")
    assert [row[0] for row in table.rows] == ["asg", "turned", "mixed"]
    assert [row[-1] for row in table.rows] == ["holds", "the opposite holds", "unresolved"]
    assert table.rows[0][3].startswith("0.65 ")


def test_only_policies_that_never_raise_the_base_lr_are_shown():
    raised = [record([[0.1, 0.1, 10.0], [0.1, 0.1, 1.0]])]
    other = [*RUNS, record([[0.5, 1.0]] * 2, groups=["a", "b"])]
    found = behaviour_rows(results(raised=raised, other=other))
    assert [(row.label, len(records)) for row, records in found] == [("other", 4)]
    assert draw_action_behaviour(results(raised=raised)) is None


def test_the_figure_has_a_panel_per_policy_and_a_line_per_layer_group():
    figure = draw_action_behaviour(results(one=RUNS, two=RUNS[:2]))
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    for axes in figure.axes:
        assert [line.get_label() for line in axes.get_lines()] == GROUPS
        # The head: 1.0 and 0.9 for a quarter of the training, 0.6 and 0.5 after it.
        head = axes.get_lines()[-1].get_ydata()
        assert head[0] == pytest.approx(0.95)
        assert head[-1] == pytest.approx(0.55)
