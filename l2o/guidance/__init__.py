"""Guidance: loss terms that hold the fine-tuned network near the proxy."""

from typing import Any

from l2o.guidance.augment import RandAugment
from l2o.guidance.backbone import backbone_parameters, copy_parameters
from l2o.guidance.base import COMPARED, Guidance
from l2o.guidance.colour_jitter import ColourJitter
from l2o.guidance.combine import GuidanceSum
from l2o.guidance.contrastive import Contrastive
from l2o.guidance.feature_l2 import FeatureL2
from l2o.guidance.importance import ImportanceTracker, estimate_importance
from l2o.guidance.l2_sp import L2SP
from l2o.guidance.layer_maps import LayerMaps
from l2o.guidance.proxy_kl import ProxyKL
from l2o.guidance.pyramid import PyramidConsistency, pyramid_distance
from l2o.guidance.si import SynapticIntelligence
from l2o.guidance.stylise import Stylise
from l2o.guidance.weight import ScheduledWeight

GUIDANCE: dict[str, type[Guidance[Any]]] = {
    "proxy_kl": ProxyKL,
    "l2_sp": L2SP,
    "si": SynapticIntelligence,
    "feature_l2": FeatureL2,
    "contrastive": Contrastive,
    "pyramid_consistency": PyramidConsistency,
}

__all__ = [
    "COMPARED",
    "GUIDANCE",
    "ColourJitter",
    "Contrastive",
    "FeatureL2",
    "Guidance",
    "GuidanceSum",
    "ImportanceTracker",
    "L2SP",
    "LayerMaps",
    "ProxyKL",
    "PyramidConsistency",
    "RandAugment",
    "ScheduledWeight",
    "Stylise",
    "SynapticIntelligence",
    "backbone_parameters",
    "copy_parameters",
    "estimate_importance",
    "pyramid_distance",
]
