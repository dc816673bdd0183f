"""From a config's choice to a policy: a learned one, a rule, or a schedule with a profile."""

from __future__ import annotations

from l2o.configs.schema import Named, PolicyChoice
from l2o.deciding.by_name import load_policy
from l2o.deciding.early_stopping import EarlyStopping
from l2o.deciding.policy import Policy
from l2o.deciding.sampled import Sampled
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.envs.build import build
from l2o.intervals import Interval
from l2o.profiles import PROFILES
from l2o.registry import lookup
from l2o.rules import RULES
from l2o.schedules import SCHEDULES


def build_policy(
    choice: PolicyChoice, interval: Interval | int = 1, run: tuple[int, ...] = ()
) -> Policy:
    """Make the policy a config chooses.

    Args:
        choice: a learned policy's name, folder or dotted path; or a rule; or schedule and profile.
        interval: of the decisions of a schedule or a rule.
        run: identifies the run among those of one choice, for rules and policies that draw.

    Raises:
        ValueError: unknown names or arguments, or an unusable bundle.
    """
    if choice.policy is not None:
        if ":" in choice.policy:
            return lookup("policy", {}, choice.policy)()
        learned = load_policy(choice.policy)
        return Sampled(learned, run=run) if choice.sample else learned
    policy = _rule(choice.rule, interval, run) if choice.rule else _schedule(choice, interval)
    if choice.early_stopping is not None:
        stopping = Named(name="early_stopping", options=choice.early_stopping)
        policy = build("policy", {"early_stopping": EarlyStopping}, stopping, policy=policy)
    return policy


def _schedule(choice: PolicyChoice, interval: Interval | int) -> Policy:
    return SchedulePolicy(
        build("schedule", SCHEDULES, choice.schedule),
        build("profile", PROFILES, choice.profile),
        interval=interval,
    )


def _rule(named: Named | str, interval: Interval | int, run: tuple[int, ...]) -> Policy:
    # One of somebody's own may be any policy.
    made: Policy = build("rule", RULES, named)
    rule = made.for_run(*run)
    rule.interval = interval
    return rule
