"""Asking a policy for its decision, whatever it does; and what decides where it fails."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import Policy, State
from l2o.guarding.checked_answers import ask, checked_multipliers, first_state
from l2o.guarding.fallback import as_fallback
from l2o.guidance.rows import layers_of
from l2o.signals import Measurement
from l2o.tensors import on_host, to_host

logger = logging.getLogger("l2o")
T = TypeVar("T")

MAX_REASONS = 100
"""How many reasons are told apart; messages that never repeat must not fill the memory."""


class Asking:
    """Asks a policy; a decision that fails is taken by the fallback, and reasons are counted.

    Attributes:
        fallback: what decides once the policy failed; None: the last good multipliers stay.
        dropped: whether the policy is not asked any more.
        scale: factor on all multipliers.
        counts: interventions, by reason.
    """

    def __init__(
        self, fallback: str | Policy | None, time_limit: float | None, max_late: int
    ) -> None:
        if time_limit is not None:
            check_number("time_limit", time_limit, above=True)
        check_number("max_late", max_late, 1.0)
        self.fallback = as_fallback(fallback)
        self.time_limit = time_limit
        self.max_late = max_late
        self.scale = 1.0
        self.dropped = False
        self.counts: Counter[str] = Counter()
        self._late = 0
        self._needs_state = False
        self._fallback_state: State | None = None
        self._fallback_count = 0
        self._chosen: Tensor | None = None
        self._trouble: str | None = None

    def first_state(self, policy: Policy, count: int) -> State:
        """Return the policy's first state; nothing if it fails, and then it is asked again."""
        try:
            state = first_state(policy, count)
            self._needs_state = False
        except Exception as error:
            self.fail("the policy has no first state", error)
            self._needs_state, state = True, {}
        return state

    def attempt(self, what: str, function: Callable[[], T]) -> T | None:
        """Return what the function returns; None, with a note of `what`, if it raises."""
        try:
            return function()
        except Exception as error:  # whatever fails in here, the training goes on
            self.note(_worded(what, error))
            return None

    def measure(self, function: Callable[[], T]) -> T | None:
        """Return the measurement that begins a decision; None if it fails, and so the decision."""
        self._trouble = None
        try:
            return function()
        except Exception as error:
            self.fail("the signals could not be computed", error)
            return None

    def _ask(self, policy: Policy, observation: Tensor, state: State) -> tuple[Tensor, State]:
        if self._needs_state:
            state = first_state(policy, len(observation))
            self._needs_state = False
        if self.time_limit is None:
            self._late = 0
            return ask(policy, observation, state)
        start = perf_counter()
        answer = ask(policy, observation, state)
        late = perf_counter() - start > self.time_limit
        self._late = self._late + 1 if late else 0
        if late:
            self.note(f"a decision took longer than {self.time_limit:g} s", "it is used")
        if self._late >= self.max_late:
            self.dropped = True
            self.note(f"{self.max_late} late decisions in a row", self._instead())
        return answer

    def _otherwise(self, measured: Measurement) -> Tensor:
        count = len(measured.present)
        if self.dropped and self.fallback is not None:
            try:
                known, layers = layers_of(measured)
                of_layers = len(known.present)
                if self._fallback_state is None or self._fallback_count != of_layers:
                    self._fallback_state = first_state(self.fallback, of_layers)
                    self._fallback_count = of_layers
                observation = self.fallback.signals.encode(known)
                rates, self._fallback_state = ask(self.fallback, observation, self._fallback_state)
                # Guidance terms go back to their own weights.
                self._chosen = on_host([1.0] * count).masked_scatter(layers, rates)
            except Exception as error:
                self.note(_worded("the fallback failed", error))
        if self._chosen is None or len(self._chosen) != count:
            held = measured.multiplier
            held = torch.where(measured.is_guidance > 0, held, held / self.scale)
            self._chosen = checked_multipliers(held, count)
        return self._chosen

    def fail(self, what: str, error: Exception) -> None:
        """Note that a decision failed; from now on the fallback decides, if there is one."""
        self.dropped = self.dropped or self.fallback is not None
        self._trouble = _worded(what, error)
        self.note(self._trouble, self._instead())

    def _instead(self) -> str:
        if self.fallback is not None:
            return f"{self.fallback!r} decides from now on"
        return "the last good multipliers stay"

    def note(self, reason: str, then: str = "training goes on") -> None:
        """Count an intervention; log the first of its kind."""
        if reason not in self.counts and len(self.counts) >= MAX_REASONS:
            reason = "other reasons"
        if not self.counts[reason]:
            logger.warning("l2o: %s; %s", reason, then)
        self.counts[reason] += 1

    def _asking_state(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "dropped": self.dropped,
            "late": self._late,
            "needs_state": self._needs_state,
            "chosen": None if self._chosen is None else self._chosen.clone(),
            "fallback_state": self._fallback_state,
            "fallback_count": self._fallback_count,
        }

    def _load_asking(self, state: dict[str, Any]) -> None:
        self.counts = Counter(state["counts"])
        self.dropped = state.get("dropped", False)
        self._late = state.get("late", 0)
        self._needs_state = state.get("needs_state", False)
        self._chosen = to_host(state.get("chosen"))
        self._fallback_state = to_host(state.get("fallback_state"))
        self._fallback_count = state.get("fallback_count", 0)


def _worded(what: str, error: Exception) -> str:
    """Word a failure without its numbers: one reason, whatever the values were."""
    text = re.sub(r"-?\d[\d.]*(e[+-]?\d+)?", "#", str(error))
    return f"{what}: {type(error).__name__}: {text}"[:300]
