"""The trust ratio: a step moves each layer by a given share of its weights' norm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.rules.relative_step import SEEN, RelativeStep
from l2o.signals.spec import SignalSpec


@dataclass
class TrustRatio(RelativeStep):
    """multiplier[l] ← multiplier[l] · size · depth_factor^(1 − depth_l) · ‖θ_l‖ / ‖Δθ_l‖.

    The same share for every layer, but `head` times as much for the head, falling along a cosine:
    two constants that make most of what a learned policy does, and the rival that it is held
    against. The ratio of norms is that of You et al., Large Batch Training of Convolutional
    Networks, 2017, here of the optimizer's own update, as in You et al., Large Batch Optimization
    for Deep Learning, ICLR 2020.

    Args:
        size: share of its weights' norm that a step moves a layer by, not negative.
        depth_factor: of the layer at the input, 1 at the head; below 1 early layers move less.
        largest: whether the size is that of the layer's tensor which moves most, not of the layer:
            under SGD a depthwise convolution or a gain may move a hundred times as far as the
            large matrix beside it, which makes the layer's norm.
        head: factor on the size of the head, not negative.
        anneal: times ½ (1 + cos πt), t the share of the training that is done, where it is known.
        first_lr: the learning rate before the first measurement, above 0.
        change: largest factor between two decisions, above 1.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> rule = TrustRatio()
        >>> # present, is_head, depth, log10(LR)/4, log10(multiplier)/3, log10(moved)/4, known, t
        >>> backbone, head = [1, 0, 0, -0.5, 0, -0.5, 1, 0], [1, 1, 1, -0.5, 0, -0.5, 1, 0]
        >>> rule(torch.tensor([backbone, head]), {})[0]
        tensor([0.1000, 5.0000])
    """

    size: float = 1e-3
    depth_factor: float = 1.0
    largest: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("size", self.size)
        check_number("depth_factor", self.depth_factor, above=True)
        if self.largest:
            # Of this rule alone: what others need, nobody has to measure.
            self.signals = SignalSpec((*SEEN, "largest_update"))
            self.measure = "largest_update"

    def target(self, seen: dict[str, Tensor]) -> Tensor:
        """Return the size, smaller or larger towards the input."""
        return self.size * self.depth_factor ** (1.0 - seen["depth"])
