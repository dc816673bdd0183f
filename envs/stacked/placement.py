"""Which fine-tune is computed in which chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from l2o.envs.stacked.chunk import Chunk
from l2o.envs.stacked.start import Prepared

MakeChunk = Callable[[list[Prepared]], Chunk]


class Placement:
    """Puts fine-tunes of equal architecture side by side, in chunks of limited size.

    A fine-tune that begins takes a vacant position of a chunk of its architecture; those that find
    none share new chunks of even size. A chunk that nobody is left in is dropped.

    Args:
        limit: fine-tunes per chunk at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.chunks: list[tuple[Any, Chunk]] = []
        self.where: dict[int, tuple[Chunk, int]] = {}

    def leave(self, runs: Iterable[int]) -> None:
        """Take runs out of their chunks."""
        for run in runs:
            if run in self.where:
                chunk, position = self.where.pop(run)
                chunk.members[position] = None

    def enter(self, starts: dict[int, Prepared], make: MakeChunk) -> None:
        """Place runs; the caller loads them."""
        keys = {run: start.key for run, start in starts.items()}
        homeless = {
            run: start for run, start in starts.items() if not self._settle(run, start, keys[run])
        }
        self.chunks = [(key, chunk) for key, chunk in self.chunks if any(chunk.members)]
        by_key: dict[Any, list[int]] = {}
        for run in homeless:
            by_key.setdefault(keys[run], []).append(run)
        for key, runs in by_key.items():
            pieces = -(-len(runs) // self.limit)
            for piece in range(pieces):
                part = runs[piece::pieces]
                chunk = make([starts[run] for run in part])
                self.chunks.append((key, chunk))
                for position, run in enumerate(part):
                    self._place(run, chunk, position, starts[run])

    def _settle(self, run: int, start: Prepared, key: Any) -> bool:
        for other, chunk in self.chunks:
            if other == key and None in chunk.members and chunk.data.fits(start):
                self._place(run, chunk, chunk.members.index(None), start)
                return True
        return False

    def _place(self, run: int, chunk: Chunk, position: int, start: Prepared) -> None:
        chunk.members[position] = start
        self.where[run] = (chunk, position)

    def groups(self, runs: Iterable[int]) -> list[tuple[Chunk, list[int], list[int]]]:
        """Return chunks that hold some of the runs: chunk, runs, their positions."""
        found: dict[int, tuple[Chunk, list[int], list[int]]] = {}
        for run in runs:
            chunk, position = self.where[run]
            _, members, positions = found.setdefault(id(chunk), (chunk, [], []))
            members.append(run)
            positions.append(position)
        return list(found.values())
