"""All signals of an observation at once: a few operations on a table, not a few per signal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2o.signals.base import FLOOR, Cosine, Field, Known, LogRatio, Measurement, Signal
from l2o.signals.table import ROW, rows_of


class _Constants(NamedTuple):
    """Tensors that an encoder needs on a device."""

    picked: Tensor
    offsets: Tensor
    scales: Tensor
    order: Tensor
    lowest: Tensor
    limits: Tensor


class Encoder:
    """Computes what the signals compute one by one, bit for bit.

    Signals that are declared (`LogRatio`, `Cosine`, `Known`, `Field`) are computed together; the
    others, the user's own among them, by their own code.

    Args:
        signals: in the order of the observation's features.

    Example:
        >>> from l2o.signals import SIGNALS
        >>> len(Encoder([SIGNALS["present"](), SIGNALS["loss"]()]))
        2
    """

    def __init__(self, signals: Sequence[Any]) -> None:
        self.signals = tuple(signals)
        # Any: what a declared signal declares is looked up by name.
        kinds: tuple[type[Signal], ...] = (LogRatio, Cosine, Known, Field)
        ratios, cosines, flags, fields = ([s for s in signals if _is(s, kind)] for kind in kinds)
        ordered: list[Any] = [*ratios, *cosines, *flags, *fields]
        self._others = tuple(s for s in signals if s not in ordered)
        ordered += self._others
        names = [s.numerator for s in ratios] + [s.denominator or "one" for s in ratios]
        names += [getattr(s, key) for key in ("product", "first", "second") for s in cosines]
        names += [s.field for s in (*flags, *fields)]
        self._plan = (
            tuple(ROW[name] for name in names),
            tuple(s.offset for s in ratios),
            tuple(s.scale for s in ratios),
            tuple(ordered.index(s) for s in signals),
            tuple(s.limit for s in signals),
        )
        self._sizes = [2 * len(ratios), *[len(cosines)] * 3, len(flags), len(fields)]
        self._halves = [len(ratios)] * 2

    def __len__(self) -> int:
        return len(self.signals)

    def __call__(self, measured: Measurement) -> Tensor:
        """Return the observation `[..., L, F]`, finite and clipped."""
        table = rows_of(measured)
        constants = _constants(self._plan, table.device)
        rows = table.index_select(-2, constants.picked)
        logs, dots, first, second, flags, fields = rows.split_with_sizes(self._sizes, dim=-2)
        top, bottom = (
            logs.add_(constants.offsets)
            .abs_()
            .clamp_min_(FLOOR)
            .split_with_sizes(self._halves, dim=-2)
        )
        columns = [
            torch.div(top, bottom).log10_().div_(constants.scales),
            torch.div(dots, torch.mul(first, second)),
            # x - x is zero if x is finite, else NaN, of which a zero is made below.
            torch.sub(flags, flags).add_(1.0),
            fields,
            *(_row(signal, measured) for signal in self._others),
        ]
        # Laid out anew, features last, in the order of the signals.
        raw = torch.cat(columns, dim=-2).transpose(-1, -2).index_select(-1, constants.order)
        raw = raw.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        raw = raw.clamp_(constants.lowest, constants.limits)
        return raw.mul_(table.select(-2, ROW["present"]).unsqueeze(-1))


def _is(signal: Any, kind: type[Signal]) -> bool:
    """Return whether a signal is of a declared kind, with nothing of its own in it."""
    own = type(signal)
    return own.__call__ is Signal.__call__ and own.compute is kind.compute


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
    made = (
        torch.tensor(picked, dtype=torch.long, device="cpu"),
        _column((*offsets, *[0.0] * len(offsets))),
        _column(scales),
        torch.tensor(order, dtype=torch.long, device="cpu"),
        -_column(limits).squeeze(-1),
        _column(limits).squeeze(-1),
    )
    return _Constants(*(tensor.to(device) for tensor in made))


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device="cpu").unsqueeze(-1)
