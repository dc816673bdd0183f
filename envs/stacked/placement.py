"""Which fine-tune is computed in which chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.envs.stacked.start import Prepared
from l2o.envs.stacked.trainer import Trainer

MakeTrainer = Callable[[list[Prepared]], Trainer]


class Placement:
    """Puts fine-tunes of equal architecture side by side, in chunks of limited size.

    A fine-tune that begins takes a vacant position of a chunk of its architecture; those that find
    none share new chunks of even size. A chunk that nobody is left in is dropped.

    All positions, chunk after chunk, are the *slots*: what is sent to chunks and fetched from them
    lies in their order.

    Args:
        runs: how many fine-tunes there are.
        limit: fine-tunes per chunk at most.

    Attributes:
        where: run -> its chunk's trainer, and its position there.
        run_of: `[slots]`, the run in each slot; `runs` where there is none.
    """

    def __init__(self, runs: int, limit: int) -> None:
        self.runs = runs
        self.limit = limit
        self.where: dict[int, tuple[Trainer, int]] = {}
        self.run_of: NDArray[np.int64] = np.zeros(0, np.int64)
        self._trainers: list[tuple[Any, Trainer]] = []

    @property
    def trainers(self) -> list[Trainer]:
        """All chunks' trainers."""
        return [trainer for _, trainer in self._trainers]

    def parts(self) -> list[tuple[Trainer, slice]]:
        """Return each chunk's trainer and slots."""
        parts, begin = [], 0
        for trainer in self.trainers:
            parts.append((trainer, slice(begin, begin + trainer.chunk.count)))
            begin += trainer.chunk.count
        return parts

    def groups(self, starts: dict[int, Prepared]) -> list[tuple[Trainer, dict[int, Prepared]]]:
        """Return what begins in each chunk, by position."""
        found: dict[int, tuple[Trainer, dict[int, Prepared]]] = {}
        for run, start in starts.items():
            trainer, position = self.where[run]
            found.setdefault(id(trainer), (trainer, {}))[1][position] = start
        return list(found.values())

    def leave(self, runs: Iterable[int]) -> None:
        """Take runs out of their chunks."""
        for run in runs:
            if run in self.where:
                trainer, position = self.where.pop(run)
                trainer.chunk.members[position] = None

    def enter(self, starts: dict[int, Prepared], make: MakeTrainer) -> None:
        """Place runs; the caller loads them."""
        keys = {run: start.key for run, start in starts.items()}
        homeless = {
            run: start for run, start in starts.items() if not self._settle(run, start, keys[run])
        }
        self._trainers = [pair for pair in self._trainers if any(pair[1].chunk.members)]
        by_key: dict[Any, list[int]] = {}
        for run in homeless:
            by_key.setdefault(keys[run], []).append(run)
        for key, runs in by_key.items():
            pieces = -(-len(runs) // self.limit)
            for piece in range(pieces):
                part = runs[piece::pieces]
                trainer = make([starts[run] for run in part])
                self._trainers.append((key, trainer))
                for position, run in enumerate(part):
                    self._place(run, trainer, position, starts[run])
        self._note_slots()

    def _settle(self, run: int, start: Prepared, key: Any) -> bool:
        for other, trainer in self._trainers:
            chunk = trainer.chunk
            if other == key and None in chunk.members and chunk.data.fits(start):
                self._place(run, trainer, chunk.members.index(None), start)
                return True
        return False

    def _place(self, run: int, trainer: Trainer, position: int, start: Prepared) -> None:
        trainer.chunk.members[position] = start
        self.where[run] = (trainer, position)

    def _note_slots(self) -> None:
        first = {id(trainer): part.start for trainer, part in self.parts()}
        slots = sum(trainer.chunk.count for trainer in self.trainers)
        self.run_of = np.full(slots, self.runs)
        for run, (trainer, position) in self.where.items():
            self.run_of[first[id(trainer)] + position] = run
