"""The policy network that a training config asks for."""

from __future__ import annotations

import copy

from l2o.configs.schema import TrainConfig
from l2o.deciding.architectures import make_policy
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.networks.asg import SCALARS_FROM, ASGPolicyNetwork
from l2o.networks.base import PolicyNetwork
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import LogRange, MultiplierRange, multipliers_from_dict
from l2o.signals import DEFAULT_SIGNALS
from l2o.signals.spec import SignalSpec


def build_network(config: TrainConfig, layers: int) -> PolicyNetwork:
    """Make the untrained network of a config.

    Args:
        config: its network, signals and multipliers.
        layers: layer groups of the family's networks.

    Raises:
        ValueError: an asg_2020 network with signals or multipliers that it does not have.
    """
    multipliers, signals = action_range(config), signal_spec(config)
    network = config.network
    if network.kind == "layer_shared":
        return build_layer_network(config)
    bins = multipliers.to_dict().get("values")
    if bins is None:
        raise ValueError(
            "network.kind=asg_2020 chooses among factors; set environment.multipliers={kind: bins}"
        )
    return ASGPolicyNetwork(
        layers, len(signals) - SCALARS_FROM, network.hidden, bins, network.memoryless
    )


def build_layer_network(config: TrainConfig) -> LayerPolicyNetwork:
    """Make the untrained layer-shared network of a config.

    Raises:
        ValueError: an anchor without the signals or the range that it needs.
    """
    multipliers, signals, network = action_range(config), signal_spec(config), config.network
    made = LayerPolicyNetwork(
        len(signals),
        multipliers.outputs,
        network.hidden,
        network.recurrent,
        anchored=network.anchor != "none",
        pooling=network.pooling,
    )
    if made.anchor is not None:
        if not isinstance(multipliers, LogRange):
            raise ValueError(
                "an anchored network needs multipliers on a log scale; set "
                "environment.multipliers={kind: log} or network.anchor=none"
            )
        if config.environment.guidance_actions and "is_guidance" not in signals.names:
            raise ValueError(
                "an anchored network tells guidance_actions from layers by the signal is_guidance; "
                "add it to environment.signals, or set network.anchor=none"
            )
        made.anchor.aim(signals.names, multipliers, network.anchor)
    return made


def export_policy(config: TrainConfig, network: PolicyNetwork) -> LearnedPolicy:
    """Return a copy of a network as the policy that a config learns."""
    copied = copy.deepcopy(network).cpu()
    # A copy takes the gradients along, too.
    copied.zero_grad()
    return make_policy(
        copied,
        action_range(config),
        signal_spec(config),
        decision_interval(config.finetuning),
        config.environment.guidance_actions,
    )


def action_range(config: TrainConfig) -> MultiplierRange:
    """Return the multiplier range of a config."""
    return multipliers_from_dict(config.environment.multipliers)


def signal_spec(config: TrainConfig) -> SignalSpec:
    """Return the signal spec of a config."""
    return SignalSpec(config.environment.signals or DEFAULT_SIGNALS)
