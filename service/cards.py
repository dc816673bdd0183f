"""Policies at hand and their cards, as text."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from typing import Any

from l2o.deciding.bundle import list_policies, read_card
from l2o.deciding.by_name import NAMED_RULES, find_rule
from l2o.extras import MissingExtraError

FIRST = ("name", "description", "task_family", "licence", "limits", "known_limits")
"""Keys of a card that are shown first: what a policy is, and what it does not do."""


def listing() -> str:
    """Return one line for each policy at hand, learned ones first: its name and what it is."""
    found = {name: summary(read_card(folder)) for name, folder in list_policies().items()}
    found |= {name: f"rule: {rule_text(name)[0]}" for name in NAMED_RULES}
    width = max(map(len, found))
    return "\n".join(f"{name:{width}}  {text}" for name, text in found.items())


def rule_text(name: str) -> tuple[str, str]:
    """Return what a rule does in a line, and all that its documentation says."""
    kind = NAMED_RULES[name]
    about = inspect.getdoc(sys.modules[kind.__module__]) or ""
    return about.splitlines()[0], f"{about}\n\n{inspect.getdoc(kind)}\n"


def described(name: str) -> str:
    """Return the text of a policy: a learned one's card, a rule's documentation."""
    if find_rule(name):
        return rule_text(name.replace("_", "-"))[1]
    return card_text(read_card(name))


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
