"""What was last measured of a chunk's fine-tunes, kept on the device until it is encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.stacked.layout import Layout
from l2o.layers.facts import LayerFacts
from l2o.signals import MISSING, Measurement
from l2o.signals.table import RUN_FIELDS

_FACTS = tuple(field.name for field in fields(LayerFacts))
_FIXED = ("present", "is_head", "is_guidance", "depth", *_FACTS)
"""The same for all networks of one architecture."""
_LAYER = (
    "multiplier",
    "base_lr",
    "start_norm",
    "weight_norm",
    "drift_norm",
    "gradient_norm",
    "update_norm",
    "gradient_dot_update",
    "largest_update",
)


class Measured:
    """The newest measurement of each of N networks of one architecture, as two tables.

    Which networks are written is told by masks on the device, so that nothing waits for it.

    Args:
        count: N.
        layers: rows of an observation; shallower networks leave the rest absent.
        layout: of the architecture.
        device: of the tables.
        guidance: rows of guidance terms, after those of the layers.

    Attributes:
        own: layer groups of the networks.
        rows: these, and the rows of guidance terms.
    """

    def __init__(
        self, count: int, layers: int, layout: Layout, device: torch.device, guidance: int = 0
    ) -> None:
        self.own = len(layout.groups)
        self.rows = self.own + guidance
        per_layer = torch.full((len(_FIXED) + len(_LAYER), count, layers), MISSING)
        per_layer[0] = 0.0
        nothing = torch.zeros(self.own)
        facts = layout.facts
        told = (facts[name] for name in _FACTS)
        fixed = (nothing + 1, layout.is_head, nothing, layout.depth, *told)
        for row, fact in enumerate(fixed):
            per_layer[row, :, : self.own] = torch.as_tensor(fact, dtype=torch.float32)
        for name, fact in (("present", 1.0), ("is_head", 0.0), ("is_guidance", 1.0)):
            per_layer[_FIXED.index(name), :, self.own : self.rows] = fact
        self.per_layer = per_layer.to(device)
        self.whole = torch.full((len(RUN_FIELDS), count), MISSING, device=device)
        self._missing = torch.full((count,), MISSING, device=device)

    def tables(self) -> list[Tensor]:
        """Return all tensors that change."""
        return [self.per_layer, self.whole]

    def begin(
        self, mask: Tensor, layers: Mapping[str, Tensor], whole: Mapping[str, Tensor]
    ) -> None:
        """Write networks `[N]` that begin anew; what is not given was not measured."""
        missing = self._missing[:, None].expand(-1, self.rows)
        self._write_layers(mask, {**dict.fromkeys(_LAYER, missing), **layers})
        self._write_whole(mask, {**dict.fromkeys(RUN_FIELDS, self._missing), **whole})

    def update(
        self, mask: Tensor, layers: Mapping[str, Tensor], whole: Mapping[str, Tensor]
    ) -> None:
        """Write networks `[N]` after a window; losses move the ones before to `previous_...`.

        Args:
            mask: `[N]`, which networks.
            layers: quantities `[N, L]`; those not given stay. Of guidance terms what is missing
                at the end is not measured.
            whole: global quantities `[N]`; those not given stay.
        """
        previous = {
            f"previous_{name}": self.whole[RUN_FIELDS.index(name)]
            for name in whole
            if f"previous_{name}" in RUN_FIELDS
        }
        self._write_layers(mask, layers)
        self._write_whole(mask, {**previous, **whole})

    def _write_layers(self, mask: Tensor, values: Mapping[str, Tensor]) -> None:
        current = self.per_layer[len(_FIXED) :, :, : self.rows]
        rows = [values.get(name, current[index]) for index, name in enumerate(_LAYER)]
        rows = [self._with_guidance(row.float()) for row in rows]
        current.copy_(torch.where(mask[:, None], torch.stack(rows), current))

    def _with_guidance(self, row: Tensor) -> Tensor:
        missing = self.rows - row.shape[-1]
        return functional.pad(row, (0, missing), value=MISSING) if missing else row

    def _write_whole(self, mask: Tensor, values: Mapping[str, Tensor]) -> None:
        rows = [values.get(name, self.whole[index]) for index, name in enumerate(RUN_FIELDS)]
        self.whole.copy_(torch.where(mask, torch.stack([r.float() for r in rows]), self.whole))


def measurement_of(several: Sequence[Measured]) -> Measurement:
    """Return the measurements of several chunks' networks, one after the other.

    `gradient_dot_update` may be NaN; of the rest NaN stands for what was not measured, so who
    writes a measured NaN writes inf.
    """
    per_layer = _join([measured.per_layer for measured in several])
    whole = _join([measured.whole for measured in several])
    fields = dict(zip((*_FIXED, *_LAYER), per_layer.unbind(), strict=True))
    return Measurement(**fields, **dict(zip(RUN_FIELDS, whole.unbind(), strict=True)))


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)
