"""Hand-tuned schedules as policies: a schedule over time times a profile over layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from l2o.deciding.policy import Policy, State
from l2o.intervals import Interval
from l2o.intervals.plain import as_interval
from l2o.layers.groups import LayerGroup
from l2o.profiles import PROFILES, Profile
from l2o.registry import make_member
from l2o.schedules import SCHEDULES, Schedule
from l2o.signals.spec import SignalSpec


class SchedulePolicy(Policy):
    """A policy that looks only at progress: multiplier[l] = schedule(p) · profile(p, l).

    Args:
        schedule: a key of `l2o.schedules.SCHEDULES`, a dotted path `package.module:Name` or a
            `Schedule`.
        profile: the same for `l2o.profiles.PROFILES`.
        interval: optimizer steps between decisions, or a rule of them (`l2o.intervals`);
            1 follows the schedule exactly.
        schedule_args: arguments of the schedule when given by name.
        profile_args: arguments of the profile when given by name.

    Raises:
        ValueError: an unknown name or argument, or a bad value. In a call: the length of the
            training is unknown and the schedule or profile needs it, or the profile needs a head
            and no layer is one.

    Example:
        >>> policy = SchedulePolicy("constant", "small_backbone")
        >>> #                           present is_head depth progress has_progress
        >>> observation = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0]])
        >>> policy(observation, {})[0]
        tensor([0.1000, 1.0000])
    """

    signals = SignalSpec(("present", "is_head", "depth", "progress", "has_progress"))

    def __init__(
        self,
        schedule: str | Schedule = "cosine",
        profile: str | Profile = "flat",
        interval: Interval | int = 1,
        schedule_args: Mapping[str, Any] | None = None,
        profile_args: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = _build("schedule", SCHEDULES, schedule, schedule_args or {})
        shared = _build("profile", PROFILES, profile, profile_args or {})
        self.schedule: Schedule = _checked("schedule", chosen, Schedule)
        self.profile: Profile = _checked("profile", shared, Profile)
        self.interval = as_interval(interval)

    @property
    def needs_progress(self) -> bool:
        """Whether it can decide only where the length of the training is known."""
        return self.schedule.needs_progress or self.profile.needs_progress

    def __repr__(self) -> str:
        return f"SchedulePolicy({self.schedule!r}, {self.profile!r}, interval={self.interval})"

    def of_length(self, total_steps: int | None) -> SchedulePolicy:
        """Return this policy with the schedule of a training of so many steps."""
        schedule = self.schedule.of_length(total_steps)
        if schedule is self.schedule:
            return self
        return SchedulePolicy(schedule, self.profile, self.interval)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse a run of unknown length, or without a head, where that is needed."""
        if total_steps is None:
            self._without_progress()
        if self.profile.needs_head and not any(group.is_head for group in groups):
            self._without_head()

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, zero for absent layers, and the state as it was."""
        present, is_head, depth, progress, has_progress = observation.unbind(dim=-1)
        first = present.argmax()
        if not bool(has_progress[first] > 0):
            self._without_progress()
        if self.profile.needs_head and not bool((is_head * present).any()):
            self._without_head()
        now = progress[first]
        return self.schedule(now) * self.profile(now, depth, is_head, present), state

    def _without_head(self) -> None:
        raise ValueError(
            f"{self.profile!r} needs a head, but no layer is one; "
            "pass head=... to group_layers or LRController"
        )

    def _without_progress(self) -> None:
        for part in (self.schedule, self.profile):
            if part.needs_progress:
                raise ValueError(
                    f"{part!r} needs to know how long the training is; "
                    "pass total_steps=... to LRController"
                )


def _build(kind: str, table: Mapping[str, Any], given: Any, arguments: Mapping[str, Any]) -> Any:
    if not isinstance(given, str):
        if arguments:
            raise ValueError(
                f"{kind}_args go with a name; {given!r} already has its own, leave them out"
            )
        return given
    return make_member(kind, table, given, arguments)


def _checked(kind: str, built: Any, contract: type) -> Any:
    if not isinstance(built, contract):
        raise ValueError(
            f"{kind} must be a name, a dotted path to a subclass of {contract.__module__}."
            f"{contract.__name__}, or an instance of one, got {built!r}"
        )
    return built
