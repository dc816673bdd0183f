"""`l2o policies`: the policies at hand and their cards."""

from __future__ import annotations

from typing import Annotated

import typer

from l2o.service.outcomes import explained


def policies(
    name: Annotated[
        str | None,
        typer.Argument(help="A policy's name or folder: show its card.", show_default=False),
    ] = None,
) -> None:
    """List the policies, or show one's card."""
    with explained(command="policies"):
        from l2o.service.cards import described, listing

        if name is None:
            typer.echo(listing())
        else:
            typer.echo(described(name), nl=False)
