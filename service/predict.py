"""`l2o predict`: what a fine-tuned network answers on images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tune.", metavar="RUN")],
    images: Annotated[Path, typer.Argument(help="Folder of images, or one.", metavar="IMAGES")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV to write, or a folder for masks; in RUN if not given.",
            metavar="FILE",
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="Answers for each image.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Images per forward pass.", min=1)] = 64,
    workers: Annotated[int, typer.Option(help="Processes that read ahead.", min=0)] = 0,
    allow_code: Annotated[
        bool,
        typer.Option("--allow-code", help="Let RUN name code of your own that makes the network."),
    ] = False,
) -> None:
    """Use a fine-tuned network.

    Writes the class of each image and how sure the network is of it, or masks."""
    with explained(command="predict"):
        from l2o.service.finetuning.predict import predict as run_predict

        path = run_predict(
            run,
            images,
            out,
            top=top,
            device=device,
            batch_size=batch_size,
            workers=workers,
            allow_code=allow_code,
        )
    typer.echo(f"predictions: {path}")
