"""What the layer group is: signals that do not change while training."""

from __future__ import annotations

from l2o.signals.base import Field, LogRatio


class Present(Field):
    """1 for a layer, 0 for padding: networks of different depth share one observation shape."""

    field = "present"


class IsHead(Field):
    """1 for the new head, 0 for the pretrained backbone."""

    field = "is_head"


class IsGuidance(Field):
    """1 for the row of a guidance term whose weight the policy scales, 0 for a layer.

    Not among the default signals.
    """

    field = "is_guidance"


class Depth(Field):
    """Position from the input (0) to the head (1)."""

    field = "depth"


class Size(LogRatio):
    """log₁₀(number of parameters) / 8."""

    numerator, scale = "numel", 8.0


class FanIn(LogRatio):
    """log₁₀(inputs of a unit) / 4, in the mean over the units of the layer's matrices.

    Not among the default signals, as the next two: they tell apart kinds of layers.
    """

    numerator, scale = "fan_in", 4.0


class VectorShare(Field):
    """Share of the layer's parameter tensors that are vectors: biases, gains of normalisation.

    0 for a matrix alone, 1/2 for a matrix with a bias, more where layers are normalised.
    """

    field = "vector_share"


class WeightRMS(LogRatio):
    """log₁₀(‖θ‖ / √n) / 4 for the layer's n parameters: the root mean square of its weights."""

    numerator, denominator, scale = "weight_norm", "root_numel", 4.0
