"""Options that several studies have, as the command line shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def count(about: str, least: int = 1) -> Any:
    """Return the option of a number of things."""
    return typer.Option(min=least, metavar="N", help=about)


def names(about: str) -> Any:
    """Return the option of several names: `--rows A B`."""
    return typer.Option(metavar="NAME...", help=about)


def text(about: str) -> Any:
    """Return the option of a name."""
    return typer.Option(metavar="NAME", help=about)


PolicyName = Annotated[
    str, typer.Argument(metavar="POLICY", help="A policy's name, or a bundle's or run's folder.")
]
PolicyNames = Annotated[
    tuple[str, ...], typer.Argument(metavar="POLICY", help="Names of policies, or folders.")
]
FineTuneConfig = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A fine-tune's preset or YAML file.")
]
Overrides = Annotated[
    tuple[str, ...],
    typer.Argument(metavar="key=value", help="Fields of the config to change, dotted."),
]
Config = Annotated[str, typer.Argument(metavar="CONFIG", help="A benchmark's preset or YAML file.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; made if missing.")]
Kept = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep what is finished here, and go on from it; a new folder for each state of the "
        "code.",
    ),
]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all that was found here.")]
ExecutorKind = Annotated[
    str, typer.Option(metavar="NAME", help="Where the workers are: processes, ray or here.")
]
Workers = Annotated[int, typer.Option(min=1, metavar="N", help="Processes, one core each.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="What all draws follow from.")]
Quick = Annotated[bool, typer.Option("--quick", help="A small part, to see that it works.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N")]
