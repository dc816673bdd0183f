"""`l2o finetune`: one fine-tune under a policy or a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
) -> None:
    """Fine-tune once and draw the learning rates.

    Under a policy, or else under the schedule and layer profile of the config's `choice`.
    """
    with explained(command="finetune"):
        from l2o.benchmarks.fine_tune import check
        from l2o.configs.load import load_config
        from l2o.configs.schema import PolicyChoice
        from l2o.service import run_folder

        settings = load_config("finetune", config, overrides or ())
        if policy is not None:
            choice = settings.choice.model_dump() | {"policy": policy}
            settings = settings.model_copy(update={"choice": PolicyChoice(**choice)})
        folder = out or run_folder.default_folder("finetune", config)
        check(settings)

    with explained(folder, command="finetune"):
        from l2o.benchmarks.fine_tune import run_finetune, summary
        from l2o.envs.runtime.run_lock import run_lock
        from l2o.files.seals import read_json

        run_folder.require_folder(folder)
        with run_lock(folder):
            run_folder.require_unused(folder)
            run_folder.write_config(folder, settings)
            path = run_finetune(settings, folder)
            typer.echo(summary(read_json(path, "run it again")))
    typer.echo(f"results: {path}")
    for figure in sorted(folder.glob("figures/*.png")):
        typer.echo(f"picture: {figure}")
