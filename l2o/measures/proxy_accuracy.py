"""Proxy accuracy kept: what the network still knows of what it was pretrained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from l2o.measures.base import Measure, Outputs


@dataclass(frozen=True)
class ProxyAccuracy(Measure):
    """`proxy_accuracy`: the share of proxy images that the old head gets right on the new backbone.

    Example:
        >>> ProxyAccuracy()(Outputs(proxy_logits=torch.eye(2), proxy_labels=torch.tensor([0, 0])))
        {'proxy_accuracy': 0.5}
    """

    needs: ClassVar[tuple[str, ...]] = ("proxy_logits", "proxy_labels")

    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the accuracy."""
        logits, labels = outputs.proxy_logits, outputs.proxy_labels
        assert logits is not None
        assert labels is not None
        right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
        return {"proxy_accuracy": float(right.double().mean())}
