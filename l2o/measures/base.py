"""The contract of measures: what a trained network gave on some images -> named numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """What a fine-tuned network gives on some images; None is what was not computed.

    Attributes:
        logits: of the new head, `[N, K]`.
        labels: `[N]`, of those images.
        features: of the backbone, `[N, D]`.
        proxy_logits: of the proxy head on the fine-tuned backbone, on proxy images, `[M, K']`.
        proxy_labels: `[M]`.
        maps: outputs of named layers, `[N, ...]` each.
        start_maps: those of the frozen pretrained network on the same images.
    """

    logits: Tensor | None = None
    labels: Tensor | None = None
    features: Tensor | None = None
    proxy_logits: Tensor | None = None
    proxy_labels: Tensor | None = None
    maps: Mapping[str, Tensor] | None = None
    start_maps: Mapping[str, Tensor] | None = None


def joined(parts: Iterable[Outputs], *fields: str) -> Outputs:
    """Return the outputs of batches as those of all their images, on the host.

    Args:
        parts: of each batch; looked at once, and let go.
        fields: tensors of `Outputs` to keep, which every part has.

    Raises:
        ValueError: there are no batches.

    Example:
        >>> parts = (Outputs(labels=torch.tensor([k]), logits=torch.eye(2)) for k in (3, 4))
        >>> joined(parts, "labels").labels
        tensor([3, 4])
    """
    rows = [[getattr(part, field).cpu() for field in fields] for part in parts]
    if not rows:
        raise ValueError("there are no images to measure on; give at least one batch")
    columns = map(torch.cat, zip(*rows, strict=True))
    found: dict[str, Any] = dict(zip(fields, columns, strict=True))
    return Outputs(**found)


class Measure(ABC):
    """A function of `Outputs` that gives named numbers.

    Attributes:
        needs: names of the fields of `Outputs` that it reads.

    Example:
        >>> class Norm(Measure):
        ...     needs = ("features",)
        ...     def compute(self, outputs):
        ...         return {"norm": float(outputs.features.norm(dim=1).mean())}
        >>> Norm()(Outputs(features=torch.ones(3, 4)))
        {'norm': 2.0}
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the numbers; what is undefined is NaN."""

    def __call__(self, outputs: Outputs) -> dict[str, float]:
        """Return the numbers.

        Raises:
            ValueError: something that this measure reads is not there.
        """
        if missing := [name for name in self.needs if getattr(outputs, name) is None]:
            raise ValueError(
                f"{type(self).__name__} reads {', '.join(self.needs)}; give Outputs its "
                f"{', '.join(missing)}"
            )
        return self.compute(outputs)


def check_features(what: str, features: Tensor, least: int = 1) -> None:
    """Raise unless there are floating-point features `[N, ...]` of enough examples.

    Raises:
        ValueError: naming the shape or type.
    """
    if features.dim() < 2 or len(features) < least or not features.is_floating_point():
        raise ValueError(
            f"{what} must be floating-point [N, D] with N of at least {least}, got "
            f"{tuple(features.shape)} of {features.dtype}"
        )


def paired_maps(outputs: Outputs) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each layer's maps of the trained and of the frozen network, flattened `[N, D]`.

    Raises:
        ValueError: a layer without its start, or of another shape.
    """
    start = outputs.start_maps or {}
    pairs = {}
    for name, maps in (outputs.maps or {}).items():
        if name not in start or start[name].shape != maps.shape:
            raise ValueError(
                f"layer {name!r} must have maps of one shape from the trained and the frozen "
                "network, on the same images"
            )
        check_features(f"maps of {name!r}", maps)
        pairs[name] = (maps.flatten(1), start[name].flatten(1))
    return pairs
