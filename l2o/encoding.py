"""All signals of an observation at once: a few operations on a table, not a few per signal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from l2o.signals.base import FLOOR, Field, Known, LogRatio, Measurement, Signal
from l2o.signals.table import ROW, rows_of


class _Constants(NamedTuple):
    """Tensors that an encoder needs on a device."""

    picked: Tensor
    offsets: Tensor
    scales: Tensor
    order: Tensor
    limits: Tensor


class Encoder:
    """Computes what the signals compute one by one, bit for bit.

    Signals that are declared (`LogRatio`, `Known`, `Field`) are computed together; the others, the
    user's own among them, by their own code.

    Args:
        signals: in the order of the observation's features.

    Example:
        >>> from l2o.signals import SIGNALS
        >>> len(Encoder([SIGNALS["present"](), SIGNALS["loss"]()]))
        2
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = tuple(signals)
        kinds = [_kind(signal) for signal in signals]
        at = [
            [i for i, k in enumerate(kinds) if k == kind] for kind in (LogRatio, Known, Field, None)
        ]
        self._logs, self._flags = len(at[0]), len(at[1])
        self._others = tuple(signals[i] for i in at[3])
        ratios: list[LogRatio] = [signals[i] for i in at[0]]  # type: ignore[misc]
        names = [s.numerator for s in ratios] + [s.denominator or "one" for s in ratios]
        names += [signals[i].field for kind in at[1:3] for i in kind]  # type: ignore[attr-defined]
        found = [i for kind in at for i in kind]
        self._plan = (
            tuple(ROW[name] for name in names),
            tuple(s.offset for s in ratios),
            tuple(s.scale for s in ratios),
            tuple(found.index(i) for i in range(len(signals))),
            tuple(s.limit for s in signals),
        )

    def __len__(self) -> int:
        return len(self.signals)

    def __call__(self, measured: Measurement) -> Tensor:
        """Return the observation `[..., L, F]`, finite and clipped."""
        table = rows_of(measured)
        constants = _constants(self._plan, table.device)
        rows = table.index_select(-2, constants.picked)
        logs, flags = self._logs, self._flags
        parts = rows[..., : 2 * logs, :].add_(constants.offsets).abs_().clamp_min_(FLOOR)
        ratio = parts[..., :logs, :] / parts[..., logs:, :]
        known = torch.isfinite(rows[..., 2 * logs : 2 * logs + flags, :]).to(table.dtype)
        columns = [ratio.log10_().div_(constants.scales), known, rows[..., 2 * logs + flags :, :]]
        columns += [_row(signal, measured) for signal in self._others]
        # Laid out anew, features last, in the order of the signals.
        raw = torch.cat(columns, dim=-2).transpose(-1, -2).index_select(-1, constants.order)
        raw = raw.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        raw = raw.clamp_(-constants.limits, constants.limits)
        return raw.mul_(table[..., ROW["present"], :].unsqueeze(-1))


def _kind(signal: Signal) -> type[Signal] | None:
    if type(signal).__call__ is not Signal.__call__:
        return None
    kinds: tuple[type[Signal], ...] = (LogRatio, Known, Field)
    return next((kind for kind in kinds if type(signal).compute is kind.compute), None)


def _row(signal: Signal, measured: Measurement) -> Tensor:
    """Return a signal by its own code, as a row `[..., 1, L]`."""
    own = type(signal).__call__ is not Signal.__call__
    value = signal(measured) if own else signal.compute(measured)
    if value.dim() < measured.present.dim():
        value = value.unsqueeze(-1).expand_as(measured.present)
    return value.unsqueeze(-2)


@cache
def _constants(plan: tuple[tuple[float, ...], ...], device: torch.device) -> _Constants:
    picked, offsets, scales, order, limits = plan
    added = torch.tensor(offsets + (0.0,) * len(offsets), device=device)
    return _Constants(
        torch.tensor(picked, dtype=torch.long, device=device),
        added.unsqueeze(-1),
        torch.tensor(scales, device=device).unsqueeze(-1),
        torch.tensor(order, dtype=torch.long, device=device),
        torch.tensor(limits, device=device),
    )
