"""Results of N fine-tunes: gathered on the device, copied to the host at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.envs.stacked.graph import Graphs, SharedMemory
from l2o.envs.stacked.measured import measurement_of
from l2o.envs.stacked.placement import Placement
from l2o.envs.stacked.trainer import Trainer
from l2o.envs.stacked.transfers import HostLink, split_flat
from l2o.signals.spec import SignalSpec

Scores = dict[str, NDArray[np.float64]]
"""Metric -> its values `[N]` on one split; NaN for fine-tunes that were not scored."""


@dataclass(frozen=True)
class Results:
    """What the host knows of N fine-tunes.

    Attributes:
        observation: float32 `[N, layers, F]`; zeros for a fine-tune that never began.
        loss: mean training loss of the last window `[N]`, inf where it went non-finite; NaN before
            the first.
        proxy_kl: mean proxy KL of the last window, likewise.
        scores: of the splits that were asked for, by name.
    """

    observation: NDArray[np.float32]
    loss: NDArray[np.float64]
    proxy_kl: NDArray[np.float64]
    scores: dict[str, Scores]


class Collector:
    """Gathers the results of all chunks as one flat tensor.

    Args:
        placement: where the chunks are.
        layers: rows of an observation.
        spec: the signals.
        link: to the host.
        shared: scratch memory of captured computations.
    """

    def __init__(
        self,
        placement: Placement,
        layers: int,
        spec: SignalSpec,
        link: HostLink,
        shared: SharedMemory | None = None,
    ) -> None:
        self.placement = placement
        self.layers = layers
        self.spec = spec
        self.link = link
        self.shared = shared
        self._trainers: list[Trainer] = []
        self._flat: dict[tuple[str, ...], Tensor] = {}
        self.graphs = Graphs(link.device, list, shared)

    def empty(self, splits: Sequence[str] = ()) -> Results:
        """Return the results before the first fine-tune begins."""
        observation = np.zeros((0, self.layers, len(self.spec)))
        return self._by_run(observation, np.zeros((2, 0)), {split: {} for split in splits})

    def collect(self, splits: Sequence[str] = ()) -> Results:
        """Wait for the device, and return what is newest.

        Args:
            splits: of which the newest scores are wanted.
        """
        if self._trainers != self.placement.trainers:
            self._trainers = self.placement.trainers
            self._flat.clear()
            self.graphs = Graphs(self.link.device, list, self.shared)
        if not self._trainers:
            return self.empty(splits)
        key = tuple(splits)
        slots = len(self.placement.run_of)
        # Tasks of one stack have the same metrics.
        metrics = {split: self._trainers[0].metrics(split) for split in key}
        shapes = [(slots, self.layers, len(self.spec)), (2, slots)]
        shapes += [(len(names), slots) for names in metrics.values()]
        if key not in self._flat:
            self._flat[key] = self._room(shapes)
        flat = self._flat[key]
        self.graphs.run(key, partial(self._gather, key, flat))
        observation, means, *scores = split_flat(self.link.fetch(flat), shapes)
        named = {
            split: dict(zip(names, rows, strict=True))
            for (split, names), rows in zip(metrics.items(), scores, strict=True)
        }
        return self._by_run(observation, means, named)

    def _room(self, shapes: Sequence[tuple[int, ...]]) -> Tensor:
        dtype = torch.float32
        for trainer in self._trainers:
            dtype = torch.promote_types(dtype, trainer.chunk.parameters.dtype)
        size = sum(int(np.prod(shape)) for shape in shapes)
        return torch.empty(size, dtype=dtype, device=self.link.device)

    @torch.no_grad()
    def _gather(self, splits: Sequence[str], flat: Tensor) -> None:
        observation = self.spec.encode(measurement_of([t.measured for t in self._trainers]))
        rows = [torch.cat([t.means for t in self._trainers], dim=1)]
        rows += [torch.cat([t.score_of(s) for t in self._trainers], dim=1) for s in splits]
        torch.cat([part.flatten().to(flat.dtype) for part in (observation, *rows)], out=flat)

    def _by_run(
        self,
        observation: NDArray[np.float64],
        means: NDArray[np.float64],
        scores: dict[str, Scores],
    ) -> Results:
        """Sort slots by run; vacant ones fall into a row that is cut off."""
        runs, of = self.placement.runs, self.placement.run_of
        seen = np.zeros((runs + 1, *observation.shape[1:]), np.float32)
        seen[of] = observation
        loss, proxy_kl = map(self._sorted, means)
        named = {
            split: {name: self._sorted(row) for name, row in found.items()}
            for split, found in scores.items()
        }
        return Results(seen[:-1], loss, proxy_kl, named)

    def _sorted(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        by_run = np.full(self.placement.runs + 1, np.nan)
        by_run[self.placement.run_of] = row
        return by_run[:-1]
