"""Where the parameters of N stacked networks lie in one flat buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.layers.facts import facts_by_name
from l2o.layers.groups import LayerGroup


@dataclass(frozen=True)
class Layout:
    """Trainable parameters of one architecture, input to head, with their layer groups.

    A flat buffer of N networks holds parameter after parameter, each as `[N, numel]`: every
    parameter is a contiguous tensor of all networks, and an optimizer step is a few operations on
    the whole buffer.

    Attributes:
        names: dotted names.
        shapes: of one network's parameters.
        layers: index of each parameter's layer group.
        groups: names of the layer groups.
        depth: of each group, 0 at the input, 1 at the head.
        is_head: of each group.

    Example:
        >>> from torch import nn
        >>> from l2o.layers.groups import group_layers
        >>> layout = Layout.of(group_layers(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))))
        >>> layout.numel, [tuple(view.shape) for view in layout.views(torch.zeros(26), 2)]
        (13, [(2, 3, 2), (2, 3), (2, 1, 3), (2, 1)])
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    layers: tuple[int, ...]
    groups: tuple[str, ...]
    depth: tuple[float, ...]
    is_head: tuple[bool, ...]

    @classmethod
    def of(cls, groups: Sequence[LayerGroup]) -> Layout:
        """Return the layout of layer groups."""
        rows = [
            (name, parameter.shape, index)
            for index, group in enumerate(groups)
            for name, parameter in zip(group.parameter_names, group.parameters, strict=True)
        ]
        names, shapes, layers = zip(*rows, strict=True)
        return cls(
            names,
            shapes,
            layers,
            tuple(group.name for group in groups),
            tuple(group.depth for group in groups),
            tuple(group.is_head for group in groups),
        )

    @property
    def numel(self) -> int:
        """Parameters of one network."""
        return sum(shape.numel() for shape in self.shapes)

    @property
    def facts(self) -> dict[str, list[float]]:
        """What each layer group is, by name of the fact."""
        shapes: list[list[torch.Size]] = [[] for _ in self.groups]
        for shape, layer in zip(self.shapes, self.layers, strict=True):
            shapes[layer].append(shape)
        return facts_by_name(shapes)

    def views(self, flat: Tensor, count: int) -> list[Tensor]:
        """Return each parameter of `count` networks as `[count, *shape]`, without a copy.

        Kernels of convolutions lie channels last, as the convolutions want them.
        """
        parts = flat.split([count * shape.numel() for shape in self.shapes])
        return [_view(part, count, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def flatten_into(self, flat: Tensor, tensors: Sequence[Tensor]) -> None:
        """Write tensors `[N, *shape]` as a flat buffer."""
        ordered = [t.permute(0, 1, 3, 4, 2) if t.dim() == 5 else t for t in tensors]
        torch.cat([tensor.reshape(-1) for tensor in ordered], out=flat)

    def rows(self, flat: Tensor, count: int) -> list[Tensor]:
        """Return each parameter as `[count, numel]`, without a copy."""
        return [
            part.view(count, -1)
            for part in flat.split([count * shape.numel() for shape in self.shapes])
        ]

    def expand_into(self, flat: Tensor, values: Tensor) -> None:
        """Write values `[N, L]` to all elements of their layer's parameters."""
        for layer, row in zip(self.layers, self.rows(flat, len(values)), strict=True):
            row.copy_(values[:, layer, None].expand_as(row))

    def hold(self, flat: Tensor, held: Tensor, moving: Tensor) -> None:
        """Put back networks that hold still: all but those that move `[N]`."""
        for row, old in zip(*(self.rows(buffer, len(moving)) for buffer in (flat, held))):
            row.copy_(torch.where(moving[:, None], row, old))

    def norms(self, buffers: Sequence[Tensor], count: int) -> Tensor:
        """Return the Euclidean norms of each layer `[buffers, N, L]`, float32."""
        each = [
            torch.stack(
                [torch.linalg.vector_norm(row, dim=1) for row in self.rows(flat, count)], dim=1
            )
            for flat in buffers
        ]
        return self._sum_layers(torch.stack(each).float().square()).sqrt()

    def largest_ratio(self, update: Tensor, weights: Tensor, count: int) -> Tensor:
        """Return the largest rms(Δθ_t) / max(rms(θ_t), rms(θ)) of each layer's tensors `[N, L]`."""
        squares = [
            torch.stack([row.float().square().sum(dim=1) for row in self.rows(flat, count)], dim=1)
            for flat in (update, weights)
        ]
        numels = weights.new_tensor([float(shape.numel()) for shape in self.shapes])
        mean_square = self._sum_layers(squares[1]) / self._sum_layers(numels)
        floor = numels * mean_square[:, list(self.layers)]
        each = torch.nan_to_num(squares[0] / torch.maximum(squares[1], floor), nan=torch.inf)
        sizes = [self.layers.count(layer) for layer in range(len(self.groups))]
        parts = each.split(sizes, dim=-1)
        return torch.stack([part.amax(dim=-1) for part in parts], dim=-1).sqrt()

    def dots(self, one: Tensor, other: Tensor, count: int) -> Tensor:
        """Return the inner products of each layer `[N, L]`, float32."""
        each = [row.sum(dim=1) for row in self.rows(one * other, count)]
        return self._sum_layers(torch.stack(each, dim=1).float())

    def _sum_layers(self, values: Tensor) -> Tensor:
        """Return `[..., L]` of `[..., parameters]`; a layer's parameters lie side by side."""
        sizes = [self.layers.count(layer) for layer in range(len(self.groups))]
        return torch.stack([part.sum(dim=-1) for part in values.split(sizes, dim=-1)], dim=-1)


def _view(part: Tensor, count: int, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(count, *shape)
    outputs, inputs, height, width = shape
    return part.view(count, outputs, height, width, inputs).permute(0, 1, 4, 2, 3)
