"""What a layer is, as far as the shapes of its parameters tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class LayerFacts:
    """Numbers of a layer group that do not change while training; NaN means there are none.

    Attributes:
        numel: number of parameters.
        root_numel: √numel: a norm over it is a root mean square.
        fan_in: inputs of a unit, in the mean over the units of all matrices.
        vector_share: share of the parameter tensors that are vectors: biases, and the gains of
            normalisation.
    """

    numel: float
    root_numel: float
    fan_in: float
    vector_share: float

    @classmethod
    def of(cls, shapes: Sequence[torch.Size]) -> LayerFacts:
        """Return the facts of parameters of these shapes, units first, as torch has them.

        What has no more than one dimension longer than 1 is a vector; the rest are matrices,
        kernels of convolutions among them.

        Example:
            >>> LayerFacts.of([torch.Size([8, 4, 3, 3]), torch.Size([8])])
            LayerFacts(numel=296.0, root_numel=17.204650534085253, fan_in=36.0, vector_share=0.5)
        """
        numel = float(sum(shape.numel() for shape in shapes))
        wide = [[size for size in shape if size != 1] for shape in shapes]
        matrices = [sizes for sizes in wide if len(sizes) > 1]
        units = sum(sizes[0] for sizes in matrices)
        weights = sum(math.prod(sizes) for sizes in matrices)
        return cls(
            numel,
            math.sqrt(numel),
            weights / units if units else math.nan,
            1.0 - len(matrices) / len(shapes) if shapes else math.nan,
        )


def facts_by_name(layers: Iterable[Sequence[torch.Size]]) -> dict[str, list[float]]:
    """Return each fact of all layers, by the name of its field, from their parameters' shapes."""
    facts = [LayerFacts.of(shapes) for shapes in layers]
    return {
        field.name: [getattr(each, field.name) for each in facts] for field in fields(LayerFacts)
    }
