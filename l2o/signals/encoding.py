"""All signals of an observation at once: a few operations on a table, not a few per signal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.signals.base import FLOOR, Cosine, Field, Known, LogRatio, Measurement, Signal
from l2o.signals.table import ROW, array_of, rows_of

Array = NDArray[np.float32]


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
    others, the user's own among them, by their own code. For a single run on the CPU NumPy does the
    arithmetic: on tables as small as these the time goes into calling, and NumPy is called sooner.

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
        self._host = _HostConstants.of(*self._plan)

    def __len__(self) -> int:
        return len(self.signals)

    def __call__(self, measured: Measurement) -> Tensor:
        """Return the observation `[..., L, F]`, finite and clipped."""
        if not self._others:
            array = array_of(measured)
            if array is not None:
                return torch.from_numpy(self._on_host(array))
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

    def _on_host(self, rows: Array) -> Array:
        """Do the same with NumPy, for rows `[..., Q, L]`."""
        host, ratios = self._host, self._halves[0]
        cosines, flags = self._sizes[1], self._sizes[4]
        picked = rows.take(host.picked, axis=-2)
        for row, offset in host.offsets:
            picked[..., row, :] += offset
        raw = np.empty((*rows.shape[:-2], len(self.signals), rows.shape[-1]), dtype=np.float32)
        with np.errstate(all="ignore"):  # what is missing or blew up becomes a zero below
            logs, at = picked[..., : 2 * ratios, :], 2 * ratios
            np.abs(logs, out=logs)
            np.maximum(logs, host.floor, out=logs)
            found = raw[..., :ratios, :]
            np.divide(logs[..., :ratios, :], logs[..., ratios:, :], out=found)
            # Torch's logarithm: the last bit of NumPy's is another one.
            torch.from_numpy(found).log10_()
            found /= host.scales
            dots, first, second = (
                picked[..., at + k * cosines : at + (k + 1) * cosines, :] for k in range(3)
            )
            np.divide(dots, first * second, out=raw[..., ratios : ratios + cosines, :])
        at, done = at + 3 * cosines, ratios + cosines
        np.isfinite(picked[..., at : at + flags, :], out=raw[..., done : done + flags, :])
        raw[..., done + flags :, :] = picked[..., at + flags :, :]
        np.copyto(raw, 0.0, where=~np.isfinite(raw))
        np.maximum(raw, host.lowest, out=raw)
        np.minimum(raw, host.limits, out=raw)
        raw *= rows[..., ROW["present"], None, :]
        # Laid out anew, features last, in the order of the signals.
        return raw.swapaxes(-1, -2).take(host.order, axis=-1)


class _HostConstants(NamedTuple):
    """Arrays that an encoder needs on the host."""

    picked: NDArray[np.int64]
    offsets: list[tuple[int, float]]
    scales: Array
    order: NDArray[np.int64]
    lowest: Array
    limits: Array
    floor: np.float32

    @classmethod
    def of(
        cls,
        picked: Sequence[int],
        offsets: Sequence[float],
        scales: Sequence[float],
        order: Sequence[int],
        limits: Sequence[float],
    ) -> _HostConstants:
        by_kind = np.empty((len(order), 1), dtype=np.float32)
        by_kind[list(order), 0] = limits
        return cls(
            np.array(picked, dtype=np.int64),
            [(row, offset) for row, offset in enumerate(offsets) if offset],
            np.array(scales, dtype=np.float32)[:, None],
            np.array(order, dtype=np.int64),
            -by_kind,
            by_kind,
            np.float32(FLOOR),
        )


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
    # Said, not left to torch's defaults: those are the user's. Made on the host, then copied.
    index = partial(torch.tensor, dtype=torch.long, device="cpu")
    value = partial(torch.tensor, dtype=torch.float32, device="cpu")
    made = _Constants(
        picked=index(picked),
        offsets=value(offsets + (0.0,) * len(offsets)).unsqueeze(-1),
        scales=value(scales).unsqueeze(-1),
        order=index(order),
        lowest=-value(limits),
        limits=value(limits),
    )
    return _Constants(*(tensor.to(device) for tensor in made))
