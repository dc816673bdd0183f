"""The zero-shot comparison: each family as a table of its own, then the summary over all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.base import Comparison
from l2o.benchmarks.comparisons.results_file import read_results
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.table.plan import Plan
from l2o.benchmarks.comparisons.table.result_models import TableResults
from l2o.benchmarks.comparisons.zero_shot.contenders import Families
from l2o.benchmarks.comparisons.zero_shot.plan import check_labels, family_config
from l2o.benchmarks.comparisons.zero_shot.result_models import ZeroShotResults
from l2o.benchmarks.comparisons.zero_shot.summary import summarise
from l2o.benchmarks.comparisons.zero_shot.tables import tables
from l2o.configs.zero_shot import ZeroShotConfig


class Ran(NamedTuple):
    """What there is after a run: of each family plan and records, and how many processes."""

    families: Families
    workers: int


def plan_families(config: ZeroShotConfig, workers: int | None) -> dict[str, Plan]:
    """Lay out each family's table."""
    check_labels(config)
    plans = {}
    for name in config.families:
        try:
            plans[name] = TABLE.plan(family_config(config, name), workers)
        except (ValueError, ImportError) as error:
            leave_out = f"; families.{name}=null leaves it out" * isinstance(error, ImportError)
            raise ValueError(f"family {name!r}: {error}{leave_out}") from error
    return plans


def run_families(
    config: ZeroShotConfig,
    plans: dict[str, Plan],
    out: Path,
    workers: int | None,
    progress: bool,
) -> Ran:
    """Run each family's table, in a folder that is a table's own."""
    used = 1
    for number, name in enumerate(plans, 1):
        if progress and sys.stderr.isatty():
            print(f"family {name}, {number} of {len(plans)}", file=sys.stderr)
        TABLE.run(family_config(config, name), out / name, workers, progress)
        used = int(read_results(out / name, TableResults).machine["processes"])
    found = {name: read_records(out / name / CELLS, Record) for name in plans}
    return Ran({name: (plans[name], found[name]) for name in plans}, used)


ZERO_SHOT = Comparison(
    kind="zero_shot",
    results=ZeroShotResults,
    plan=plan_families,
    run_missing=run_families,
    summarise=lambda config, plans, ran: summarise(config, ran.families, ran.workers),
    tables=tables,
    figures="l2o.benchmarks.comparisons.zero_shot.figures:FIGURES",
)
"""One policy on held-out families, against tuned and untuned schedules."""
