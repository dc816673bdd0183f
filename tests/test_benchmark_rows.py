"""Rows of a benchmark that change the task, or the inner loop."""

import pytest

from l2o.benchmarks import make_plan, run_benchmark
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row


def test_a_row_may_change_the_task_and_the_loop():
    rows = (
        Row(label="plain", schedule="cosine"),
        Row(
            label="other",
            schedule="cosine",
            task={"fonts_per_task": 3},
            finetuning={"rehearsal": 0.5},
            guidance={},
            optimizer="adamw",
        ),
    )
    config = BenchmarkConfig(
        task=Named(name="digits", options={"split": "heldout", "networks": 2}), rows=rows, tasks=1
    )
    plain, other = (row.cells[0] for row in make_plan(config).rows)
    assert (plain.task, plain.finetuning) == (config.task, config.finetuning)
    assert other.task.options == {"split": "heldout", "networks": 2, "fonts_per_task": 3}
    assert other.finetuning == FineTuning(rehearsal=0.5, guidance={}, optimizer=Named(name="adamw"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"finetuning": {"rehearsl": 1}}, "rehearsl"), ({"task": {"fonts_per_taks": 3}}, "fonts_per")],
)
def test_a_wrong_field_of_a_row_fails_before_any_work(changes, named, tmp_path):
    row = Row(label="a", schedule="cosine", **changes)
    with pytest.raises(ValueError, match=named):
        run_benchmark(BenchmarkConfig(rows=(row,), tasks=1), tmp_path, workers=1)
    assert not list(tmp_path.iterdir())
