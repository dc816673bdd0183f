"""The processes that train one model together: what they measure is summed, what they do is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2o.signals import Measurement
from l2o.signals.table import with_fields
from l2o.tensors import is_sharded, real_and_dense

_NORMS = ("weight_norm", "gradient_norm", "update_norm", "drift_norm")
_SUMS = ("gradient_dot_update",)
_MEANS = ("loss", "proxy_kl", "validation_loss", "previous_validation_loss")


class Ranks:
    """Reduces measurements over the processes of a run, so that all of them decide the same.

    Losses are averaged. Of sharded parameters (`DTensor`s, as `fully_shard` makes them) each
    process measures its own part, and the squares are summed; whole copies, as in data-parallel
    training, are equal everywhere. Per decision that is one all-reduce, and one broadcast of the
    multipliers.

    Args:
        groups: process groups that together reach all processes; empty: this one is alone.
        sharded: whether parameters are spread over them.
        device: where the backend of the groups wants its tensors.
    """

    def __init__(
        self,
        groups: Sequence[Any] = (),
        sharded: bool = False,
        device: torch.device | None = None,
    ) -> None:
        self.groups = tuple(groups)
        self.sharded = sharded
        self.device = device
        sizes = [torch.distributed.get_world_size(group) for group in self.groups]
        self.size = math.prod(sizes)
        self._first = all(torch.distributed.get_rank(group) == 0 for group in self.groups)

    @classmethod
    def of(
        cls, model: nn.Module | None, parameters: Sequence[Tensor], process_group: Any = None
    ) -> Ranks:
        """Return the processes of a run: those of its `DTensor`s, its DDP wrapper, or of a group.

        Args:
            model: looked through for `DistributedDataParallel`.
            parameters: those that are trained.
            process_group: overrides what is found, for data-parallel training by hand.

        Raises:
            ValueError: the model is sharded in a way that its layers cannot be told apart.
        """
        kinds = (
            {type(module).__name__ for module in model.modules()} if model is not None else set()
        )
        if "FullyShardedDataParallel" in kinds:
            raise ValueError(
                "FullyShardedDataParallel flattens the parameters, so that layers cannot be told "
                "apart; shard the model with torch.distributed.fsdp.fully_shard"
            )
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return cls()
        device = parameters[0].device
        meshes = [p.device_mesh for p in parameters if is_sharded(p)]  # type: ignore[attr-defined]
        if meshes:
            mesh = max(meshes, key=lambda mesh: mesh.size())
            return cls([mesh.get_group(d) for d in range(mesh.ndim)], True, device)
        if process_group is None and model is not None:
            wrappers = [m for m in model.modules() if hasattr(m, "process_group")]
            parallel = nn.parallel.DistributedDataParallel
            found = [m.process_group for m in wrappers if isinstance(m, parallel)]
            process_group = found[0] if found else None
        return cls([process_group] if process_group is not None else [], False, device)

    def piece(self, tensor: Tensor) -> Tensor:
        """Return what this process measures of a tensor, so that no number is counted twice."""
        if not self.sharded:
            return tensor
        if not is_sharded(tensor):
            return tensor if self._first else _nothing_of(tensor)
        coordinate = tensor.device_mesh.get_coordinate()  # type: ignore[attr-defined]
        local: Tensor = tensor.to_local()  # type: ignore[attr-defined]
        placements = tensor.placements  # type: ignore[attr-defined]
        owner = coordinate is not None and all(
            c == 0 for c, p in zip(coordinate, placements, strict=True) if p.is_replicate()
        )
        return local if owner else _nothing_of(local)

    def reduce(self, measured: Measurement) -> Measurement:
        """Return the measurement of the whole run; a collective call, NaN stays "missing"."""
        if self.size == 1:
            return measured
        names = (*_NORMS, *_SUMS) if self.sharded else ()
        parts = [
            getattr(measured, name).square() if name in _NORMS else getattr(measured, name)
            for name in names
        ]
        parts.append(torch.stack([getattr(measured, name) for name in _MEANS]))
        mine = torch.cat([part.flatten() for part in parts]).to(torch.float64)
        known = ~torch.isnan(mine)
        zeroed = torch.where(known, mine, 0.0)
        total, count = self._all_reduce(torch.stack([zeroed, known.to(mine.dtype)]))
        total = torch.where(count > 0, total, math.nan)
        layers = len(measured.present)
        fields: dict[str, Tensor] = {}
        for index, name in enumerate(names):
            value = total[index * layers : (index + 1) * layers]
            fields[name] = (value.sqrt() if name in _NORMS else value).float()
        means = (total / count.clamp_min(1.0))[len(names) * layers :].float()
        fields.update(zip(_MEANS, means.unbind(), strict=True))
        if self.sharded:
            # No process sees a whole tensor; that of the whole layer is never larger.
            fields["largest_update"] = fields["update_norm"] / fields["weight_norm"]
        return with_fields(measured, fields)

    def whole_norms(self, norms: Tensor) -> Tensor:
        """Return norms `[L]` over all pieces from those over this process' own; collective."""
        if not self.sharded or self.size == 1:
            return norms
        return self._all_reduce(norms.to(torch.float64).square()).sqrt().float()

    def _all_reduce(self, tensor: Tensor) -> Tensor:
        on_device = tensor.to(self.device)
        for group in self.groups:
            torch.distributed.all_reduce(on_device, group=group)
        return on_device.cpu()

    def agree(self, multipliers: Tensor) -> Tensor:
        """Return the first process' multipliers; a collective call."""
        if self.size == 1:
            return multipliers
        mine = multipliers if self._first else torch.zeros_like(multipliers)
        return self._all_reduce(mine)


def _nothing_of(tensor: Tensor) -> Tensor:
    return real_and_dense(tensor).flatten()[:0]
