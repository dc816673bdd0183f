"""From a config's choice to a policy: a learned one, or a schedule with a layer profile."""

from __future__ import annotations

from l2o.bundle import load_policy
from l2o.configs.schema import Named, PolicyChoice
from l2o.early_stopping import EarlyStopping
from l2o.envs.build import build
from l2o.interval import Interval
from l2o.policy import Policy
from l2o.profiles import PROFILES
from l2o.registry import lookup
from l2o.schedule_policy import SchedulePolicy
from l2o.schedules import SCHEDULES


def build_policy(choice: PolicyChoice, interval: Interval = 1) -> Policy:
    """Make the policy a config chooses.

    Args:
        choice: a learned policy's name, folder or dotted path; or schedule and profile.
        interval: of the decisions of a schedule.

    Raises:
        ValueError: unknown names or arguments, or an unusable bundle.
    """
    if choice.policy is not None:
        if ":" in choice.policy:
            return lookup("policy", {}, choice.policy)()
        return load_policy(choice.policy)
    policy: Policy = SchedulePolicy(
        build("schedule", SCHEDULES, _named(choice.schedule)),
        build("profile", PROFILES, _named(choice.profile)),
        interval=interval,
    )
    if choice.early_stopping is not None:
        stopping = Named(name="early_stopping", options=choice.early_stopping)
        policy = build("policy", {"early_stopping": EarlyStopping}, stopping, policy=policy)
    return policy


def _named(choice: Named | str) -> Named:
    return Named(name=choice) if isinstance(choice, str) else choice
