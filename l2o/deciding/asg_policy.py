"""ASG's published policy: factors on the base learning rate for a fixed number of layer groups."""

from __future__ import annotations

from collections.abc import Sequence

from l2o.deciding.learned import LearnedPolicy
from l2o.intervals import Interval
from l2o.intervals.plain import as_interval
from l2o.layers.groups import LayerGroup
from l2o.networks.asg import ASGPolicyNetwork, refusal
from l2o.networks.multipliers import MultiplierRange
from l2o.signals.spec import SignalSpec

ASG_SIGNALS = (
    "present",
    "current_factor",
    "window_loss",
    "window_proxy_kl",
    "window_progress",
    "head_mean",
    "head_std",
)
"""ASG's observation: a group's current factor, and five means over the last window."""


class ASGPolicy(LearnedPolicy):
    """Runs an `ASGPolicyNetwork`; decides every max(interval, steps // 20) optimizer steps.

    Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020. The release's window
    also grows while training goes on; here it does if the interval is a rule that says so.

    Args:
        network: the trained network.
        multipliers: its factors.
        signals: the spec of its observations; it begins with `present` and `current_factor`.
        interval: fewest optimizer steps per decision, or a rule of them, which is then followed.
        guidance_actions: none: it has one output per layer group.

    Raises:
        ValueError: signals, network and factors do not fit each other.

    Example:
        >>> policy = ASGPolicy(ASGPolicyNetwork(7), Bins(), SignalSpec(ASG_SIGNALS), 10)
        >>> policy.decision_interval(300), policy.decision_interval(None)
        (15, 10)
    """

    PARTS = 20
    """Windows that a long training is cut into."""

    def __init__(
        self,
        network: ASGPolicyNetwork,
        multipliers: MultiplierRange,
        signals: SignalSpec,
        interval: Interval | int = 10,
        guidance_actions: Sequence[str] = (),
    ) -> None:
        super().__init__(network, multipliers, signals, interval)
        if guidance_actions:
            raise ValueError(
                f"a policy of kind {network.kind} has no output for guidance "
                f"{', '.join(guidance_actions)}; set network.kind=layer_shared, or "
                "environment.guidance_actions=[]"
            )
        if multipliers.to_dict() != network.bins.to_dict():
            raise ValueError(
                f"an asg_2020 network of the factors {network.bins.to_dict()} cannot choose from "
                f"{multipliers.to_dict()}; give both the same bins"
            )
        if signals.names[:2] != ASG_SIGNALS[:2]:
            raise ValueError(
                f"an asg_2020 policy's signals begin with {', '.join(ASG_SIGNALS[:2])}, got "
                f"{', '.join(signals.names[:2])}; the published ones are {', '.join(ASG_SIGNALS)}"
            )
        self.groups = network.groups

    def decision_interval(self, total_steps: int | None) -> Interval:
        """Return max(interval, steps // 20), or the interval where that is a rule.

        Where the length is not known, it is the interval.
        """
        return as_interval(self.interval).at_least((total_steps or 0) // self.PARTS)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse a model of another number of layer groups, or a training of unknown length."""
        if len(groups) != self.groups:
            raise ValueError(refusal(self.groups, len(groups)))
        if total_steps is None:
            raise ValueError(
                "an asg_2020 policy watches the training's progress; give the controller its "
                "length: LRController(..., total_steps=...)"
            )
