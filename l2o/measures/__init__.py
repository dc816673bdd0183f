"""Measures: what fine-tuning made of a network, beyond its accuracy."""

from l2o.measures.base import Measure, Outputs, joined
from l2o.measures.cka import CKA, linear_cka
from l2o.measures.class_accuracy import ClassAccuracy, class_accuracy
from l2o.measures.cosine_drift import CosineDrift, cosine_drift
from l2o.measures.grad_cam import attention_maps
from l2o.measures.hyperspherical_energy import HypersphericalEnergy, hyperspherical_energy
from l2o.measures.proxy_accuracy import ProxyAccuracy

MEASURES: dict[str, type[Measure]] = {
    "hyperspherical_energy": HypersphericalEnergy,
    "class_accuracy": ClassAccuracy,
    "proxy_accuracy": ProxyAccuracy,
    "cka": CKA,
    "cosine_drift": CosineDrift,
}

__all__ = [
    "CKA",
    "MEASURES",
    "ClassAccuracy",
    "CosineDrift",
    "HypersphericalEnergy",
    "Measure",
    "Outputs",
    "ProxyAccuracy",
    "attention_maps",
    "class_accuracy",
    "cosine_drift",
    "hyperspherical_energy",
    "joined",
    "linear_cka",
]
