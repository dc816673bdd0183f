"""Decisions that are asked for together are taken together, in one call of the network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from prometheus_client import Histogram
from torch import Tensor

from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import State
from l2o.signals.table import MeasuredTable

Array = NDArray[np.float32]
CHUNK = 64
"""Runs in one call of a network: what it computes with then still fits the processor's caches."""
PACE = 0.0015
"""Seconds between the beginnings of two batches, where many requests come."""
PATIENCE = 16
"""Batches that are not waited for after one was waited for and nobody else came."""
MOST = 512
"""Requests that are answered at once; more wait, so that the server goes on hearing others."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass
class Question:
    """What one run asks its policy.

    Attributes:
        policy: that decides.
        observation: `[L, F]`, float32 on the CPU; None: the policy's signals of `rows`.
        state: of the policy.
        rows: a table of what was measured, `[Q, L]`.
        multipliers: the answer `[L]`, once there is one.
        new_state: of the policy, likewise.
    """

    policy: LearnedPolicy
    observation: Tensor | None
    state: State
    rows: Array | None = None
    multipliers: Array | None = None
    new_state: State | None = None

    @property
    def shape(self) -> tuple[bool, int]:
        """Whether there are rows, and the number of layers."""
        if self.rows is not None:
            return True, self.rows.shape[1]
        assert self.observation is not None
        return False, len(self.observation)


def decide(questions: Sequence[Question]) -> None:
    """Answer questions; runs with one policy and as many layers go through its network together.

    Runs are not padded to the most layers: what a run is answered does not depend, in any bit, on
    who else asked.
    """
    alike: dict[tuple[int, tuple[bool, int]], list[Question]] = {}
    for question in questions:
        key = (id(question.policy), question.shape)
        alike.setdefault(key, []).append(question)
    for asked in alike.values():
        for start in range(0, len(asked), CHUNK):
            _decide_alike(asked[start : start + CHUNK])


def _decide_alike(asked: Sequence[Question]) -> None:
    policy, seen = asked[0].policy, _seen(asked)
    if len(asked) == 1:
        only = asked[0]
        chosen, only.new_state = policy(seen[0], only.state)
        only.multipliers = chosen.numpy()
        return
    chosen, states = policy.many(seen, [question.state for question in asked])
    for question, multipliers, state in zip(asked, chosen.numpy(), states, strict=True):
        question.multipliers, question.new_state = multipliers, state


def _seen(asked: Sequence[Question]) -> Tensor:
    """Return the observations `[N, L, F]` of questions to one policy."""
    tables = [question.rows for question in asked if question.rows is not None]
    if tables:
        return asked[0].policy.signals.encode(MeasuredTable(stacked(tables)))
    return torch.from_numpy(
        stacked([q.observation.numpy() for q in asked if q.observation is not None])
    )


def stacked(arrays: Sequence[Array]) -> Array:
    """Return arrays of one shape as one; of `np.stack` the most time goes into its checks."""
    found = np.empty((len(arrays), *arrays[0].shape), dtype=np.float32)
    for index, array in enumerate(arrays):
        found[index] = array
    return found


class Batcher(Generic[Asked, Answer]):
    """Collects what comes in while the server is at work, and answers it in one go.

    Alone, a request is answered at once. Where many come, a batch begins `PACE` seconds after the
    one before at the earliest: what all of a batch share is then done once for several.

    Args:
        answer: gives an answer, or an exception, for each of those asked together.
        sizes: where the number of those is counted.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Sequence[Answer | Exception]],
        sizes: Histogram | None = None,
    ) -> None:
        self._answer, self._sizes = answer, sizes
        self._waiting: deque[tuple[Asked, Callable[[Any], None]]] = deque()
        self._planned = False
        self._begun = 0.0
        self._at_once = 0  # batches that are not waited for, since waiting gathered nothing

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer, computed with those of all who ask at the same time."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def tell(answer: Answer | Exception) -> None:
            if future.cancelled():
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.add(asked, tell)
        return await future

    def add(self, asked: Asked, tell: Callable[[Any], None]) -> None:
        """Take a request; `tell` is called with its answer or an exception, and must not raise."""
        self._waiting.append((asked, tell))
        self._plan()

    def _plan(self) -> None:
        if self._planned or not self._waiting:
            return
        self._planned = True
        loop = asyncio.get_running_loop()
        left = self._begun + PACE - loop.time()
        if left <= 0.0 or self._at_once or len(self._waiting) > 1:
            loop.call_soon(self._run, False)
        else:
            loop.call_later(left, self._run, True)

    def _run(self, waited: bool) -> None:
        taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        self._begun = asyncio.get_running_loop().time()
        if len(taken) > 1:
            self._at_once = 0
        elif waited:
            self._at_once = PATIENCE
        elif self._at_once:
            self._at_once -= 1
        if self._sizes is not None:
            self._sizes.observe(len(taken))
        try:
            answers = self._answer([asked for asked, _ in taken])
        except Exception as error:
            answers = [error] * len(taken)
        self._planned = False
        self._plan()
        for (_, tell), answer in zip(taken, answers, strict=True):
            tell(answer)
