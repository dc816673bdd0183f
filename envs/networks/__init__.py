"""Pretrained networks by name: of timm, torchvision, transformers, or of your own."""

from collections.abc import Mapping

from l2o.envs.networks.base import Inputs, Library, PretrainedNetwork
from l2o.registry import ImportedTable

LIBRARIES: Mapping[str, type[Library]] = ImportedTable(
    {
        "timm": "l2o.envs.networks.timm_networks:TimmLibrary",
        "torchvision": "l2o.envs.networks.torchvision_networks:TorchvisionLibrary",
        "transformers": "l2o.envs.networks.transformers_networks:TransformersLibrary",
        "l2o": "l2o.envs.networks.paper_networks:PaperLibrary",
        "smp": "l2o.envs.networks.smp_networks:SmpLibrary",
    }
)

__all__ = ["LIBRARIES", "Inputs", "Library", "PretrainedNetwork"]
