"""What all layers' encodings become one of: the context that a layer's head sees beside its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2o.networks.base import Device


class Pooling(nn.Module):
    """Encodings `[..., L, hidden]` of layers -> one `[..., hidden]`, blind to padding and order.

    Attributes:
        shown: whether the heads of layers see it; the value does in any case.
    """

    shown: ClassVar[bool] = True

    def __init__(self, hidden: int, device: Device = "cpu") -> None:
        super().__init__()
        del device  # of parameters, which not every pooling has
        self.hidden = hidden

    @abstractmethod
    def forward(self, encoded: Tensor, present: Tensor) -> Tensor:
        """Return `[..., hidden]`; zeros where no layer is present.

        Args:
            encoded: `[..., L, hidden]`.
            present: `[..., L, 1]`, 1 for a layer, 0 for padding.
        """


class MeanPooling(Pooling):
    """The mean over the layers that are present: Σ_l p_l e_l / Σ_l p_l.

    Source: Zaheer et al., Deep Sets.

    Example:
        >>> present = torch.tensor([[1.0], [1.0], [0.0]])
        >>> MeanPooling(1)(torch.tensor([[1.0], [3.0], [9.0]]), present)
        tensor([2.])
    """

    def forward(self, encoded: Tensor, present: Tensor) -> Tensor:
        """Return the mean."""
        return (encoded * present).sum(dim=-2) / present.sum(dim=-2).clamp_min(1.0)


class AttentionPooling(Pooling):
    """Attention of one learned query q: Σ_l a_l e_l, a = softmax over present layers of q · e_l.

    Source: Lee et al., Set Transformer (pooling by attention), with one seed and one head. The
    query begins as zero, and the pooling so as the mean.

    Example:
        >>> pool = AttentionPooling(1)
        >>> pool.query.data.fill_(100.0)
        tensor([100.])
        >>> pool(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[1.0], [1.0], [0.0]]))
        tensor([3.], grad_fn=<SumBackward1>)
    """

    def __init__(self, hidden: int, device: Device = "cpu") -> None:
        super().__init__(hidden, device)
        self.query = nn.Parameter(torch.zeros(hidden, device=device, dtype=torch.float32))

    def forward(self, encoded: Tensor, present: Tensor) -> Tensor:
        """Return the weighted sum."""
        scores = (encoded * self.query).sum(dim=-1, keepdim=True)
        lowest = torch.finfo(scores.dtype).min
        weights = torch.softmax(scores.masked_fill(present == 0, lowest), dim=-2)
        # Where no layer is present, all have the same weight; they must have none.
        return (encoded * weights * present).sum(dim=-2)


class NoPooling(MeanPooling):
    """None: each layer's head sees its own layer alone, the value the mean of all.

    Example:
        >>> NoPooling.shown
        False
    """

    shown: ClassVar[bool] = False


POOLINGS: dict[str, type[Pooling]] = {
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "none": NoPooling,
}
"""Poolings, by the name in a card; no dotted paths: loading a policy imports nothing."""
