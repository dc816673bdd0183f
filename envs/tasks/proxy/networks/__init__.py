"""Small networks for small images, by name of their architecture."""

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork
from l2o.envs.tasks.proxy.networks.conv import ConvNetwork
from l2o.envs.tasks.proxy.networks.mixer import MixerNetwork
from l2o.envs.tasks.proxy.networks.mlp import MLPNetwork
from l2o.envs.tasks.proxy.networks.residual import ResidualNetwork
from l2o.envs.tasks.proxy.networks.vit import ViTNetwork

NETWORKS: dict[str, type[SmallNetwork]] = {
    "conv": ConvNetwork,
    "residual": ResidualNetwork,
    "mlp": MLPNetwork,
    "vit": ViTNetwork,
    "mixer": MixerNetwork,
}

__all__ = ["NETWORKS", "SmallNetwork", "Shape"]
