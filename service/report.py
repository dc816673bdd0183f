"""`l2o report`: report.html and figures from a benchmark's results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="DIR")],
) -> None:
    """Write report.html and figures of a benchmark, or of a simulator that was learned.

    Of a benchmark it also prints the table."""
    with explained(command="report"):
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder; give the --out of an `l2o benchmark`")
        from l2o.benchmarks import print_table, write_report
        from l2o.benchmarks.report.simulator import learned_simulator, write_simulator_report

        if learned_simulator(folder):
            path = write_simulator_report(folder)
        else:
            path = write_report(folder)
            print_table(folder)
    typer.echo(f"report: {path}")
