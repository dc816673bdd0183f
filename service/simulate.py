"""`l2o simulate`: a data set that a simulator draws."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument

CHANGEABLE = ("images", "workers")
"""Fields that may change when a data set goes on: more images are those and more."""


def simulate(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; runs/simulate-<config> if left out.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the data set in DIR, if there is one.")
    ] = False,
) -> None:
    """Draw labelled synthetic images, with masks and what each was drawn with.

    `l2o finetune folder source=DIR/images` reads them."""
    with explained(command="simulate"):
        from l2o.configs.load import dump_config, load_config
        from l2o.service import run_folder

        settings = load_config("simulate", config, overrides or ())
        folder = out or run_folder.default_folder("simulate", config)
        run_folder.require_folder(folder)
    again = ["l2o", "simulate", config, *(overrides or ()), "--out", str(folder), "--resume"]
    with explained(folder, shlex.join(again), "simulate"):
        from l2o.envs.runtime.run_lock import run_lock
        from l2o.files.atomic import write_atomically
        from l2o.service.simulating import draw_data_set

        with run_lock(folder):
            if not resume:
                run_folder.require_unused(folder, "add --resume to go on with what is in it, ")
            elif run_folder.is_used(folder):
                run_folder.require_same(folder, "simulate", settings, changeable=CHANGEABLE)
            write_atomically(folder / run_folder.CONFIG, dump_config(settings))
            draw_data_set(settings, folder)
    typer.echo(f"{settings.images} images: {folder / 'images'}")
    use = ["l2o", "finetune", "folder", f"source={folder / 'images'}", "target=PHOTOS"]
    typer.echo(f"try it: {shlex.join([*use, 'network=timm:resnet50', '--policy', 'asg-base'])}")
