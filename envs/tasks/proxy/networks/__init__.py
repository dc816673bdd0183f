"""Small networks for small images, by name of their architecture."""

from l2o.envs.tasks.proxy.networks.base import Shape, SmallNetwork
from l2o.envs.tasks.proxy.networks.batchnorm import BatchNormNetwork
from l2o.envs.tasks.proxy.networks.conv import ConvNetwork
from l2o.envs.tasks.proxy.networks.deep import DeepNetwork
from l2o.envs.tasks.proxy.networks.depthwise import DepthwiseNetwork
from l2o.envs.tasks.proxy.networks.flat import FlatNetwork
from l2o.envs.tasks.proxy.networks.layernorm import LayerNormNetwork
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
    # A network's place seeds its weights in some families: new ones go to the end.
    "batchnorm": BatchNormNetwork,
    "depthwise": DepthwiseNetwork,
    "layernorm": LayerNormNetwork,
    "flat": FlatNetwork,
    "deep": DeepNetwork,
}

__all__ = ["NETWORKS", "SmallNetwork", "Shape"]
