"""What learned policies do to each layer group: mean factors, and whether backbone < head holds.

python -m l2o.benchmarks.comparisons.table.behaviour runs/benchmark-asg-2020
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.results_file import Finished, read_results
from l2o.benchmarks.comparisons.table.result_models import (
    RowResult,
    TableFolder,
    TableResults,
    runs_that_decide,
)
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table, show
from l2o.benchmarks.statistics import Array, Difference, estimate, mean, paired_difference
from l2o.files.streams import forgive_encodings


def behaviour_rows(folder: TableFolder) -> list[tuple[RowResult, list[Record]]]:
    """Return the learned policies whose factors all lie in [0, 1], with their runs.

    Runs are those of the commonest layer groups, at all base learning rates.
    """
    found = []
    for row in folder.results.rows:
        if row.kind == "policy":
            kept = runs_that_decide(folder, row)
            if kept and all(np.max(np.array(r.rates.multipliers, float)) <= 1.0 for r in kept):
                found.append((row, kept))
    return found


def mean_factors(record: Record) -> Array:
    """Return each layer group's factor, mean over the optimizer steps it was in force `[L]`."""
    rates = record.rates
    # Where a run diverged it ended before its time.
    ends = [*rates.step[1:], record.curve[-1].step]
    weights = np.maximum(np.array(ends) - np.array(rates.step), 0)
    values = np.array(rates.multipliers, dtype=np.float64)
    return np.asarray(np.average(values, axis=0, weights=weights))


def head_over_backbone(records: list[Record]) -> Difference:
    """Return the mean factor of the head less that of the backbone's groups, in pairs by run."""
    factors = [mean_factors(record) for record in records]
    heads = _matrix(records, [float(f[-1]) for f in factors])
    return paired_difference(heads, _matrix(records, [float(f[:-1].mean()) for f in factors]))


def _matrix(records: list[Record], values: list[float]) -> Array:
    """Return values as `[runs, tasks]`; a run is a seed at a base learning rate."""
    runs = sorted({(r.seed, r.base_lr_factor) for r in records})
    tasks = sorted({r.task_seed for r in records})
    made = np.full((len(runs), len(tasks)), np.nan)
    for record, value in zip(records, values, strict=True):
        run = runs.index((record.seed, record.base_lr_factor))
        made[run, tasks.index(record.task_seed)] = value
    return made


def behaviour_table(folder: TableFolder) -> Table:
    """Return the table: a row per policy, a column per layer group, and head less backbone."""
    columns: tuple[str, ...] = ("",)
    rows = []
    for row, records in behaviour_rows(folder):
        columns = ("", *records[0].rates.groups, "head − backbone", "backbone < head")
        factors = np.stack([mean_factors(record) for record in records])
        cells = [show(estimate(_matrix(records, list(f)), mean), ".2f") for f in factors.T]
        gap = head_over_backbone(records)
        verdict = "holds" if gap.low > 0 else "the opposite holds" if gap.high < 0 else "unresolved"
        rows.append((row.label, *cells, show(gap, ".2f"), verdict))
    note = (
        "Factor on the base learning rate, mean over the steps of a fine-tune and over all runs, "
        "with 95 % bootstrap intervals over runs within tasks. The verdict is on the mean of the "
        "backbone's groups; it holds if the whole interval of the paired difference is above zero."
    )
    return Table("Action behaviour", columns, rows, note=note)


def main() -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    results = read_results(folder, TableResults)
    records = read_records(folder / CELLS, Record)
    print(to_markdown(behaviour_table(Finished(folder, results, records))))


if __name__ == "__main__":
    main()
