"""Which block of memory holds which task's examples: fine-tunes of one task share a block."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable

from l2o.envs.tasks.base import Task


class Blocks:
    """N blocks for N users. A block keeps its task until another one needs the room.

    Of one task there may be several variants, each in a block of its own.

    Args:
        count: N.

    Example:
        >>> blocks = Blocks(2)  # doctest: +SKIP
        >>> blocks.place(0, task), blocks.place(1, task)  # doctest: +SKIP
        ((0, True), (0, False))
    """

    def __init__(self, count: int) -> None:
        # What was given out the longest ago comes first.
        self._held: OrderedDict[int, weakref.ref[Task] | None] = OrderedDict.fromkeys(range(count))
        self._of_user: list[int | None] = [None] * count
        self._of_task: dict[tuple[int, Hashable], int] = {}

    def place(self, user: int, task: Task, variant: Hashable = None) -> tuple[int, bool]:
        """Give a user, who leaves its block, that of a task; return it, and whether to fill it."""
        self._of_user[user] = None
        key = (id(task), variant)
        block = self._of_task.get(key)
        # An id may have been another task's, which is no more.
        held = None if block is None else self._held[block]
        new = block is None or held is None or held() is not task
        if new:
            block = self._free()
            self._of_task = {other: at for other, at in self._of_task.items() if at != block}
            self._of_task[key] = block
            self._held[block] = weakref.ref(task)
        assert block is not None
        self._held.move_to_end(block)
        self._of_user[user] = block
        return block, new

    def _free(self) -> int:
        used = set(self._of_user)
        return next(block for block in self._held if block not in used)
