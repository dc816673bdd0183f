"""What learners of this folder cannot do, told before any work."""

from __future__ import annotations

from l2o.configs.schema import TrainConfig


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
