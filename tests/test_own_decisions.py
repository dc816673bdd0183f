"""A policy that was made for certain decisions has these, whatever a fine-tune's interval is."""

import pytest

import l2o
from l2o.benchmarks.cells.stackable import ALONE, stack_key, why_alone
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.tasks import DigitsFamily
from l2o.intervals.plain import as_plain


def decided_at(policy, interval):
    task = DigitsFamily(networks=1).sample(0)
    run = FineTune(task, FineTuning(steps=30, interval=interval), policy=policy, base_lr=0.01)
    run.advance(run.steps)
    return [decision.step for decision in run.controller.history]


def test_what_looks_at_the_beginning_decides_when_it_learned_to():
    policy = l2o.load_policy("asg-probing")
    assert policy.keeps_interval
    wanted = decided_at(policy, as_plain(policy.interval))
    assert decided_at(policy, 10) == wanted
    assert len(wanted) > 4


@pytest.mark.parametrize("name", ["asg-base", "trust-ratio"])
def test_others_decide_when_the_fine_tune_says(name):
    policy = l2o.load_policy(name)
    assert not policy.keeps_interval
    assert decided_at(policy, 15) == [0, 15, 30]


def cell(policy, interval):
    config = BenchmarkConfig(
        title="a",
        task=Named(name="digits"),
        finetuning=FineTuning(interval=interval),
        rows=[Row(label="a", policy=policy)],
    )
    return make_plan(config).cells[0]


def test_its_cells_are_stacked_where_all_decide_when_it_does():
    own = as_plain(l2o.load_policy("asg-probing").interval)
    assert why_alone(cell("asg-probing", 10)) == "decision intervals of its policy"
    assert stack_key(cell("asg-probing", 10)) == ALONE
    assert why_alone(cell("asg-probing", own)) == ""
    assert why_alone(cell("asg-base", 10)) == ""
