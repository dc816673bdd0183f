"""Texts that the commands' help shares."""

from __future__ import annotations

from typing import Annotated

import typer

from l2o.configs.catalog import Kind, list_presets

ConfigArgument = Annotated[str, typer.Argument(help="A preset's name, or the path of a YAML file.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="key=value",
        help="Fields to change, dotted; values are YAML: finetuning.optimizer.name=adamw",
        show_default=False,
    ),
]


def examples(*commands: str) -> str:
    """Return the examples' block of a help text."""
    # The backspace keeps the lines of a paragraph as they are.
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)]) + "\n\n"


def presets_text(kind: Kind) -> str:
    """Return the block of a help text that lists the presets of a command."""
    found = list_presets(kind)
    width = max(map(len, found), default=0)
    lines = [f"  {name:{width}}  {about}" for name, about in found.items()]
    return "\b\n" + "\n".join(["Presets:", *(lines or ["  none"])]) + "\n\n"
