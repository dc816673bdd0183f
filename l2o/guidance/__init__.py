"""Guidance: loss terms that hold the fine-tuned network near the proxy."""

from typing import Any

from l2o.guidance.base import Guidance
from l2o.guidance.proxy_kl import ProxyKL

GUIDANCE: dict[str, type[Guidance[Any]]] = {"proxy_kl": ProxyKL}

__all__ = ["GUIDANCE", "Guidance", "ProxyKL"]
