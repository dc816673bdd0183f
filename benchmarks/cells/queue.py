"""The cells that are left to run, handed out in kinds that can be stacked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from l2o.benchmarks.cells.cell import Cell
from l2o.benchmarks.cells.stackable import ALONE, stack_key

Batch = tuple[str, list[Cell]]
"""A `stack_key`, and cells that have it."""


class CellQueue:
    """Hands out cells, of one kind at a time, to so many takers.

    Args:
        cells: in the order they are to be run in.
        takers: processes; none is given more than its share of a kind at once.
        stacked: False: every cell is on its own.

    Example:
        >>> queue = CellQueue([], takers=1)
        >>> queue.take(None, 8)
        ('', [])
    """

    def __init__(self, cells: Iterable[Cell], takers: int, stacked: bool = True) -> None:
        self._kinds: dict[str, deque[Cell]] = {}
        for cell in cells:
            self._kinds.setdefault(stack_key(cell) if stacked else ALONE, deque()).append(cell)
        self._kind_of = {cell.id: key for key, left in self._kinds.items() for cell in left}
        self._shares = {key: -(-len(left) // takers) for key, left in self._kinds.items()}

    def take(self, key: str | None, count: int) -> Batch:
        """Return up to so many cells of a kind; of the next one that is left, if none is named."""
        if key is None:
            key = next((kind for kind, left in self._kinds.items() if left), ALONE)
        left = self._kinds.get(key, deque())
        return key, [left.popleft() for _ in range(min(count, self._shares.get(key, 0), len(left)))]

    def name_of(self, piece: Cell) -> str:
        """Return a cell's id."""
        return piece.id

    def piece_of(self, result: Any) -> str | None:
        """Return the id of the cell that a record is of; a note is of none."""
        return getattr(result, "id", None)

    def put_back(self, kind: str, pieces: list[Cell]) -> None:
        """Keep cells for when no others of their kind are left."""
        for cell in pieces:
            self._kinds[self._kind_of[cell.id]].append(cell)
