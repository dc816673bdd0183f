"""Policies at hand and their cards, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from l2o.deciding.bundle import list_policies, read_card
from l2o.extras import MissingExtraError

FIRST = ("name", "description", "task_family", "licence", "limits", "known_limits")
"""Keys of a card that are shown first: what a policy is, and what it does not do."""


def listing() -> str:
    """Return one line for each policy at hand: its name and what it is."""
    found = list_policies()
    if not found:
        return "No policies here yet; `l2o train demo` makes one in runs/train-demo."
    width = max(map(len, found))
    return "\n".join(
        f"{name:{width}}  {summary(read_card(folder))}" for name, folder in found.items()
    )


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card as YAML, with what a user must know before anything else.

    Without the extra `train` there is no writer of YAML, and the text is JSON.

    Example:
        >>> print(card_text({"seed": 0, "known_limits": ["It is slow."], "name": "mine"}), end="")
        name: mine
        known_limits:
        - It is slow.
        seed: 0
    """
    ordered = {key: card[key] for key in FIRST if key in card} | dict(card)
    try:
        from l2o.configs.yaml_text import format_yaml
    except MissingExtraError:
        return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"
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
