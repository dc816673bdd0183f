"""What families share whose tasks fine-tune small pretrained networks of a pool."""

from l2o.envs.tasks.proxy.builder import PretrainedBuilder
from l2o.envs.tasks.proxy.family import ProxyFamily
from l2o.envs.tasks.proxy.networks import NETWORKS, SmallNetwork
from l2o.envs.tasks.proxy.recipe import ProxyRecipe

__all__ = ["NETWORKS", "PretrainedBuilder", "ProxyFamily", "ProxyRecipe", "SmallNetwork"]
