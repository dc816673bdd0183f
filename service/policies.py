"""`l2o policies`: the policies at hand and their cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from l2o.service.outcomes import explained

FIRST = ("name", "description", "task_family", "licence", "limits", "known_limits")
"""Keys of a card that are shown first: what a policy is, and what it does not do."""


def policies(
    name: Annotated[
        str | None,
        typer.Argument(help="A policy's name or folder: show its card.", show_default=False),
    ] = None,
) -> None:
    """List the policies, or show one's card."""
    with explained():
        from l2o.deciding.bundle import list_policies, read_card

        if name is not None:
            typer.echo(card_text(read_card(name)), nl=False)
            return
        found = list_policies()
        if not found:
            typer.echo("No policies here yet; `l2o train demo` makes one in runs/train-demo.")
        width = max(map(len, found), default=0)
        for known, folder in found.items():
            typer.echo(f"{known:{width}}  {summary(read_card(folder))}")


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card as YAML, with what a user must know before anything else.

    Example:
        >>> print(card_text({"seed": 0, "known_limits": ["It is slow."], "name": "mine"}), end="")
        name: mine
        known_limits:
        - It is slow.
        seed: 0
    """
    from l2o.configs.yaml_text import format_yaml

    ordered = {key: card[key] for key in FIRST if key in card} | dict(card)
    # A mapping of plain values alone would be written in braces, which no line may follow.
    return "".join(
        format_yaml({key: value}, block=key in FIRST or not isinstance(value, dict | list))
        for key, value in ordered.items()
    )


def summary(card: Mapping[str, Any]) -> str:
    """Return one line about a policy from its card.

    Example:
        >>> summary({"description": "PPO on digits", "licence": "Apache-2.0"})
        'PPO on digits (Apache-2.0)'
    """
    about = card.get("description") or card.get("task_family") or card.get("name") or "?"
    return f"{about} ({card.get('licence', 'no licence')})"
