"""What learners cannot do, told before any work."""

from __future__ import annotations

from l2o.configs.schema import TrainConfig
from l2o.networks.multipliers import LogRange
from l2o.policies.common.networks import action_range


def check_layer_shared(config: TrainConfig, algorithm: str) -> None:
    """Raise unless the policy network is a layer-shared one.

    Raises:
        ValueError: it is not; the message names the remedy.
    """
    if config.network.kind != "layer_shared":
        raise ValueError(
            f"algorithm {algorithm} has no policy of kind {config.network.kind}; set "
            "algorithm.name=reinforce or network.kind=layer_shared"
        )


def check_memoryless(config: TrainConfig, algorithm: str) -> None:
    """Raise if the policy network has a memory.

    Raises:
        ValueError: it has; the message names the remedy.
    """
    if config.network.recurrent:
        raise ValueError(
            f"algorithm {algorithm} has no recurrent policy; set network.recurrent=false "
            "or algorithm.name=ppo"
        )


def check_continuous(config: TrainConfig, algorithm: str) -> None:
    """Raise unless actions are numbers on a log scale.

    Raises:
        ValueError: they are bins; the message names the remedy.
    """
    if not isinstance(action_range(config), LogRange):
        raise ValueError(
            f"algorithm {algorithm} needs continuous actions; set "
            "environment.multipliers={kind: log}"
        )
