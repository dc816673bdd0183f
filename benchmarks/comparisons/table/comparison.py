"""The table: rows x tasks x seeds on one family of tasks."""

from __future__ import annotations

from l2o.benchmarks.comparisons.base import Comparison
from l2o.benchmarks.comparisons.table.missing_cells import check, run_cells
from l2o.benchmarks.comparisons.table.plan import Plan, make_plan
from l2o.benchmarks.comparisons.table.result_models import TableResults
from l2o.benchmarks.comparisons.table.summary import summarise
from l2o.benchmarks.comparisons.table.tables import tables
from l2o.configs.schema import BenchmarkConfig


def plan_table(config: BenchmarkConfig, workers: int | None) -> Plan:
    """Lay out rows and cells, and build everything that has a name."""
    del workers
    plan = make_plan(config)
    check(config, plan)
    return plan


TABLE = Comparison(
    kind="table",
    results=TableResults,
    plan=plan_table,
    run_missing=run_cells,
    summarise=lambda config, plan, ran: summarise(config, plan, ran.records, ran.workers),
    tables=tables,
    figures="l2o.benchmarks.comparisons.table.figures:FIGURES",
    reports=False,
)
"""Rows on one family of tasks; each fine-tune is one line of `cells.jsonl`."""
