"""`l2o finetune`: one fine-tune under a policy or a schedule."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from l2o.service.following import ServerOption
from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument


def finetune(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    policy: Annotated[
        str | None,
        typer.Option(help="A policy's name or folder; replaces choice.policy.", metavar="NAME|DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; runs/finetune-<config> if not given.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, if there is one.")
    ] = False,
    server: ServerOption = None,
) -> None:
    """Fine-tune a network, yours or ours.

    Under a policy, or else under the schedule and layer profile of the config's `choice`. Leaves
    the network, its predictions, results.json and report.html. Ctrl-C saves; --resume goes on.
    """
    with explained(command="finetune"):
        from l2o.configs.load import load_config
        from l2o.configs.schema import PolicyChoice
        from l2o.service import run_folder
        from l2o.service.finetuning.run import check

        settings = load_config("finetune", config, overrides or ())
        if policy is not None:
            choice = settings.choice.model_dump() | {"policy": policy, "rule": None}
            settings = settings.model_copy(update={"choice": PolicyChoice(**choice)})
        folder = out or run_folder.default_folder("finetune", config)
        check(settings)

    given = ["--policy", policy] if policy is not None else []
    again = ["l2o", "finetune", config, *(overrides or ()), *given, "--out", str(folder)]
    with explained(folder, shlex.join([*again, "--resume"]), "finetune"):
        from l2o.envs.fine_tuning.processes import launched_rank
        from l2o.envs.runtime.run_lock import run_lock
        from l2o.service.finetuning.run import run_finetune
        from l2o.service.finetuning.summary import summary

        run_folder.require_folder(folder)
        if launched_rank() != 0:
            run_finetune(settings, folder, resume=resume)
            return
        with run_lock(folder):
            if not resume:
                run_folder.require_unused(folder, "add --resume to go on with the run in it, ")
            elif run_folder.is_used(folder):
                run_folder.require_same(folder, "finetune", settings)
            run_folder.write_config(folder, settings)
            path = run_finetune(settings, folder, resume=resume, server=server)
        typer.echo(summary(path))
    typer.echo(f"results: {path}")
    typer.echo(f"network: {folder / 'model.safetensors'}")
    typer.echo(f"report: {folder / 'report.html'}")
    for figure in sorted(folder.glob("figures/*.png")):
        typer.echo(f"picture: {figure}")
