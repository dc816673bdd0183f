"""`l2o benchmark`: policies x tasks x seeds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2o.service.following import ServerOption, followed
from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument

if TYPE_CHECKING:
    from l2o.configs.schema import Strict


def benchmark(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; runs/benchmark-<config> if not given.", metavar="DIR"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes; one per core if not given, one on a GPU.", min=1, metavar="N"
        ),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Compare policies and schedules.

    Over tasks and seeds, with confidence intervals. The same command line goes on where it was
    stopped; finished fine-tunes are kept.
    """
    with explained(command="benchmark"):
        from l2o.configs.load import load_config
        from l2o.service import run_folder

        settings = load_config("benchmark", config, overrides or ())
        folder = out or run_folder.default_folder("benchmark", config)
        run_folder.require_folder(folder)

    again = ["l2o", "benchmark", config, *(overrides or ()), "--out", str(folder)]
    if workers is not None:
        again += ["--workers", str(workers)]
    with explained(folder, shlex.join(again), "benchmark"):
        from l2o.envs.runtime.run_lock import run_lock

        with run_lock(folder):
            from l2o.benchmarks import print_table, run_benchmark
            from l2o.benchmarks.cells.record_file import CELLS

            _tell_changes(folder, settings)
            with followed(server, "benchmark", folder / CELLS):
                run_benchmark(settings, folder, workers=workers, progress=True)
            print_table(folder)
    typer.echo(f"report: {shlex.join(['l2o', 'report', str(folder)])}")


def _tell_changes(folder: Path, settings: Strict) -> None:
    """Say what differs from the benchmark that a folder holds; its fine-tunes are kept."""
    from l2o.service import run_folder

    if not run_folder.is_used(folder):
        return
    changes = run_folder.changed_fields(folder, "benchmark", settings)
    if changes:
        listed = "".join(f"\n  {line}" for line in changes)
        typer.echo(
            f"{folder} holds a benchmark of another config; fine-tunes that both have are "
            f"kept, the others are run. These fields differ:{listed}",
            err=True,
        )
