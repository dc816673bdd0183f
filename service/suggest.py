"""`l2o suggest`: which policy, rule or schedule to take for a fine-tune, from short runs of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument

JSON, CONFIG = "suggestion.json", "finetune.yaml"
"""What it leaves: the evidence, and a config for `l2o finetune`."""


def suggest(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    steps: Annotated[int, typer.Option(min=2, help="Optimizer steps of each run.")] = 100,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy's name or folder, or one of those tried by default; repeat it. "
            "Without it: trust ratios of four sizes, two cosines, asg-base, and the config's own.",
            metavar="NAME",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the answer; runs/suggest-<config> if not given.", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Say which policy, rule or schedule to take, from short runs.

    CONFIG is one of l2o finetune. Each candidate fine-tunes its network for a few steps and is
    scored on the source's validation images: no label of the target is looked at. Leaves
    suggestion.json with the evidence, and finetune.yaml, a config for l2o finetune.
    """
    with explained(command="suggest"):
        from l2o.benchmarks.suggesting import with_configured
        from l2o.configs.load import load_config
        from l2o.control.suggesting.candidates import as_candidates
        from l2o.service import run_folder
        from l2o.service.finetuning.run import check

        settings = load_config("finetune", config, overrides or ())
        folder = out or run_folder.default_folder("suggest", config)
        run_folder.require_folder(folder)
        check(settings)
        candidates = with_configured(as_candidates(candidate or None), settings)

    with explained(folder, None, "suggest"):
        from l2o.benchmarks.report.terminal import print_tables
        from l2o.benchmarks.suggesting import suggest_for, table_of, with_choice
        from l2o.envs.runtime.run_lock import run_lock

        with run_lock(folder):
            run_folder.require_unused(folder)
            run_folder.write_config(folder, settings)
            found = suggest_for(settings, candidates, steps)
            found.save(folder / JSON)
            run_folder.write_config(folder, with_choice(settings, found), CONFIG)
        print_tables([table_of(found)], ())
    for note in found.notes():
        typer.echo(note)
    typer.echo(f"suggested: {found.name}")
    typer.echo(f"evidence: {folder / JSON}")
    typer.echo(f"take it: {shlex.join(['l2o', 'finetune', str(folder / CONFIG)])}")
