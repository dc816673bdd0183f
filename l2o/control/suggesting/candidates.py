"""Candidates: what may set the learning rates of a training, by name, and as a config has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from l2o.deciding.by_name import load_policy
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.registry import make_member, unknown_name
from l2o.rules import RULES

HEAD = 5e-2
"""Size of the head's steps in the trust ratios that are tried, relative to its weights."""


@dataclass(frozen=True)
class Candidate:
    """A policy, a rule with its sizes, or a schedule with its profile.

    Attributes:
        name: what tables call it.
        choice: the field `choice` of a config of `l2o finetune` that stands for it: `policy`, or
            `rule` (`name`, `options`), or `schedule` and `profile`.
        given: the policy itself, where somebody's own object was given; no config stands for it.

    Example:
        >>> choice = {"schedule": "cosine", "profile": "frozen_backbone"}
        >>> Candidate("cosine, frozen", choice).policy()
        SchedulePolicy(Cosine(end=0.0), FrozenBackbone(), interval=1)
    """

    name: str
    choice: Mapping[str, Any] = field(default_factory=dict)
    given: Policy | None = None

    def policy(self) -> Policy:
        """Return the policy that it is.

        Raises:
            ValueError: an unknown name, or values that are refused.
        """
        if self.given is not None:
            return self.given
        if "policy" in self.choice:
            return load_policy(self.choice["policy"])
        if "rule" in self.choice:
            named = self.choice["rule"]
            made: Policy = make_member("rule", RULES, named["name"], named["options"])
            return made
        return SchedulePolicy(self.choice["schedule"], self.choice["profile"])


def trust_ratio(size: float) -> Candidate:
    """Return the trust ratio at a size of the backbone's steps, with the head's at `HEAD`.

    Example:
        >>> trust_ratio(3e-3).name
        'trust ratio 0.3 %'
    """
    options = {"size": size, "head": HEAD / size}
    return Candidate(
        f"trust ratio {100 * size:g} %", {"rule": {"name": "trust_ratio", "options": options}}
    )


STILL = Candidate(
    "trust ratio, still backbone",
    {"rule": {"name": "trust_ratio", "options": {"size": 1e-6, "head": HEAD / 1e-6}}},
)
"""A backbone that does not move: a size of 0 would leave the head, a multiple of it, still, too."""

CANDIDATES: dict[str, Candidate] = {
    each.name: each
    for each in (
        STILL,
        *(trust_ratio(size) for size in (1e-3, 3e-3, 1e-2)),
        Candidate("cosine, backbone × 0.1", {"schedule": "cosine", "profile": "small_backbone"}),
        Candidate("cosine", {"schedule": "cosine", "profile": "flat"}),
        Candidate("asg-base", {"policy": "asg-base"}),
    )
}
"""What is tried unless the caller says otherwise, by name."""


def as_candidates(given: Iterable[Any] | None) -> tuple[Candidate, ...]:
    """Return candidates of names, policies or candidates; None stands for all of `CANDIDATES`.

    Raises:
        ValueError: fewer than two, one twice, or a name that stands for nothing.
        TypeError: none of these.
    """
    if isinstance(given, str):
        raise TypeError(f"candidates must be a sequence of names or policies, got {given!r}")
    found = tuple(CANDIDATES.values() if given is None else map(_candidate, given))
    names = [each.name for each in found]
    if len(found) < 2:
        raise ValueError(f"candidates must be at least two to choose from, got {names}")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"candidates must have different names, got twice: {sorted(twice)}")
    return found


def _candidate(given: Any) -> Candidate:
    if isinstance(given, Candidate):
        return given
    if isinstance(given, Policy):
        return Candidate(type(given).__name__, given=given)
    if not isinstance(given, str):
        raise TypeError(
            f"a candidate must be a name, an l2o.Policy or a Candidate, got {given!r:.100}"
        )
    if given in CANDIDATES:
        return CANDIDATES[given]
    candidate = Candidate(given, {"policy": given})
    try:
        candidate.policy()
    except ValueError as error:
        known = unknown_name("candidate", given, list(CANDIDATES))
        raise ValueError(f"{known} Nor is it a policy: {error}") from error
    return candidate
