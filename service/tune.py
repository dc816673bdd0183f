"""`l2o tune`: a search over a config's fields."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument

CHANGEABLE = ("ray", "concurrent", "minutes")
"""Fields that may change when a search goes on: where it runs is no other search."""


def tune(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the search; runs/tune-<config> if not given.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search in DIR, if there is one.")
    ] = False,
) -> None:
    """Search over any fields of a config, with Ray Tune.

    Of a fine-tune's (learning rates by layer, schedules, optimizers; your own images, too) or of a
    training's. Trials that lag are stopped early. Leaves results.json, report.html and best.yaml, a
    config for l2o finetune or l2o train. Ctrl-C keeps what trials have done; --resume goes on.
    """
    with explained(command="tune"):
        from l2o.extras import require

        require("l2o tune", "ray", extra="ray")
        from l2o.benchmarks.tuning.run import check, run_search
        from l2o.configs.load import load_config
        from l2o.service import run_folder

        settings = load_config("tune", config, overrides or ())
        folder = out or run_folder.default_folder("tune", config)
        run_folder.require_folder(folder)
        check(settings)

    again = ["l2o", "tune", config, *(overrides or ()), "--out", str(folder), "--resume"]
    with explained(folder, shlex.join(again), "tune"):
        from l2o.benchmarks.report.terminal import print_tables
        from l2o.benchmarks.tuning.written import BEST, table_of
        from l2o.envs.runtime.run_lock import run_lock

        with run_lock(folder):
            if not resume:
                run_folder.require_unused(folder, "add --resume to go on with the search in it, ")
            elif run_folder.is_used(folder):
                run_folder.require_same(folder, "tune", settings, changeable=CHANGEABLE)
            found = run_search(settings, folder)
        print_tables([table_of(check(settings)[1], found)], ())
    best = folder / BEST
    typer.echo(f"{found.steps} steps in {found.seconds:.0f} s")
    typer.echo(f"report: {folder / 'report.html'}")
    typer.echo(f"try it: {shlex.join(['l2o', settings.of, str(best)])}")
