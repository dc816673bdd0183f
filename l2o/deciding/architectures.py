"""The kinds of learned policies: a policy network, and the policy that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from l2o.deciding.asg_policy import ASGPolicy
from l2o.deciding.learned import LearnedPolicy
from l2o.intervals import Interval
from l2o.networks.asg import ASGPolicyNetwork
from l2o.networks.base import Device, PolicyNetwork
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import MultiplierRange
from l2o.networks.probing import ProbingNetwork
from l2o.registry import unknown_name
from l2o.signals.spec import SignalSpec

ARCHITECTURES: dict[str, type[PolicyNetwork]] = {
    "layer_shared": LayerPolicyNetwork,
    "asg_2020": ASGPolicyNetwork,
    "probing": ProbingNetwork,
}
"""Policy networks, by the `kind` in a card; a card without one has the layer-shared network."""

_POLICIES: dict[str, type[LearnedPolicy]] = {"asg_2020": ASGPolicy}


def make_network(architecture: Mapping[str, Any], device: Device = "cpu") -> PolicyNetwork:
    """Make a network from what its `architecture()` returned.

    Args:
        architecture: the arguments of its constructor, and its `kind`.
        device: where its parameters lie; on "meta" nothing is drawn for them.

    Raises:
        ValueError: an unknown kind.
        TypeError: arguments that this kind does not have.

    Example:
        >>> make_network({"features": 3, "outputs": 1}).architecture()["hidden"]
        64
    """
    arguments = dict(architecture)
    kind = arguments.pop("kind", LayerPolicyNetwork.kind)
    # No dotted paths: loading a policy must not import what its card names.
    if kind not in ARCHITECTURES:
        raise ValueError(unknown_name("policy architecture", str(kind), ARCHITECTURES))
    return ARCHITECTURES[kind](**arguments, device=device)


def make_policy(
    network: PolicyNetwork,
    multipliers: MultiplierRange,
    signals: SignalSpec,
    interval: Interval | int,
    guidance_actions: Sequence[str] = (),
) -> LearnedPolicy:
    """Make the policy that runs a network.

    Raises:
        ValueError: actions on guidance for a network that has one output per layer group.
    """
    # Any: each kind of policy takes the network of its kind.
    make: Any = _POLICIES.get(network.kind, LearnedPolicy)
    policy: LearnedPolicy = make(network, multipliers, signals, interval, guidance_actions)
    return policy
