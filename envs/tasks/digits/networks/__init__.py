"""This family's networks, by name of their architecture."""

from l2o.envs.tasks.digits.networks.base import DigitsNetwork, Shape
from l2o.envs.tasks.digits.networks.conv import ConvNetwork
from l2o.envs.tasks.digits.networks.mixer import MixerNetwork
from l2o.envs.tasks.digits.networks.mlp import MLPNetwork
from l2o.envs.tasks.digits.networks.residual import ResidualNetwork
from l2o.envs.tasks.digits.networks.vit import ViTNetwork

NETWORKS: dict[str, type[DigitsNetwork]] = {
    "conv": ConvNetwork,
    "residual": ResidualNetwork,
    "mlp": MLPNetwork,
    "vit": ViTNetwork,
    "mixer": MixerNetwork,
}

__all__ = ["NETWORKS", "DigitsNetwork", "Shape"]
