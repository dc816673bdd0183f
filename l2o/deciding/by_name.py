"""Policies by name: rules that need no arguments, and learned ones."""

from __future__ import annotations

from pathlib import Path

from l2o.deciding.bundle import CARD, BundleError, list_policies, load_bundle
from l2o.deciding.policy import Policy
from l2o.registry import ImportedTable, unknown_name

# By path, since rules are made of what this room holds.
NAMED_RULES: ImportedTable[type[Policy]] = ImportedTable(
    {
        "trust-ratio": "l2o.rules.trust_ratio:TrustRatio",
        "lars": "l2o.rules.lars:LARS",
        "lamb": "l2o.rules.lamb:LAMB",
        "auto-rgn": "l2o.rules.auto_rgn:AutoRGN",
        "random": "l2o.rules.random:Random",
    }
)
"""Rules that `load_policy` gives, with their own defaults; `l2o.rules` has them with arguments."""


def load_policy(source: str | Path) -> Policy:
    """Load a policy by name, a shipped one or a rule, or from a bundle's folder.

    Args:
        source: a learned policy's name or folder, or a rule's name, such as `trust-ratio`.

    Raises:
        BundleError: no such policy, or a bundle that is damaged, foreign or of a newer format.

    Example:
        >>> load_policy("trust-ratio").size
        0.001
        >>> load_policy("no-such-policy")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        l2o.deciding.bundle.BundleError: unknown policy 'no-such-policy'...
    """
    rule = find_rule(source)
    if rule is not None:
        return rule()
    if str(source) in list_policies() or Path(source).exists():
        return load_bundle(source)
    known = [*list_policies(), *NAMED_RULES]
    raise BundleError(unknown_name("policy", str(source), known) + " Or pass a bundle's folder.")


def find_rule(source: str | Path) -> type[Policy] | None:
    """Return the rule that a name stands for; None where it is a learned policy's, or unknown.

    Example:
        >>> find_rule("trust-ratio").__name__, find_rule("asg-base")
        ('TrustRatio', None)
    """
    name = str(source)
    # A folder that happens to have the name is no policy without a card.
    if name in list_policies() or (Path(source) / CARD).is_file():
        return None
    return NAMED_RULES.get(name.replace("_", "-"))
