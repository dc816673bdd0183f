"""What the learners of this folder cannot do, told before any work."""

from __future__ import annotations

from l2o.configs.schema import TrainConfig


def check_network(config: TrainConfig, algorithm: str) -> None:
    """Raise unless the policy network is a layer-shared one without memory.

    Raises:
        ValueError: it is not; the message names the remedy.
    """
    if config.network.kind != "layer_shared":
        raise ValueError(
            f"algorithm {algorithm} has no policy of kind {config.network.kind}; set "
            "algorithm.name=reinforce or network.kind=layer_shared"
        )
    if config.network.recurrent:
        raise ValueError(
            f"algorithm {algorithm} has no recurrent policy; set network.recurrent=false"
        )
