"""The guard: what the controller does when training or the policy goes wrong."""

from __future__ import annotations

import copy
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.answers import ask, checked_multipliers, first_state
from l2o.ceiling import Ceiling
from l2o.checkpoint import to_host
from l2o.checks import check_number
from l2o.fallback import as_policy
from l2o.groups import LayerGroup
from l2o.guidance_rows import layers_of
from l2o.health import Health
from l2o.last_good import LastGood
from l2o.policy import Policy, State
from l2o.signals import Measurement, Quantity
from l2o.stall import Stall
from l2o.tensors import on_host

logger = logging.getLogger("l2o")
T = TypeVar("T")

MAX_REASONS = 100
"""How many reasons are told apart; messages that never repeat must not fill the memory."""
_LOWEST_SCALE = 1e-6
COPIES = 20
"""How often a light copy of good weights is renewed in a training, at most."""
LEAST_AGE = 20
"""Steps that a light copy is kept at least: it costs about as much as a twentieth of a step."""
UNKNOWN_LENGTH = 1000
"""Steps of a training whose length is not known, as far as copies go."""
CEILING_NEEDS: frozenset[Quantity] = frozenset({"gradient", "update"})


class Guard:
    """Keeps a training run going when the loss blows up or the policy fails, and keeps count.

    *A policy that may exceed the user's own rates* (`Policy.cautious`) does so only as far as the
    loss has to give, and only in layers that were measured (`l2o.ceiling`).

    *A learned policy* (`Policy.learned`) learned on other runs than this one. Where the loss does
    not fall under it, multipliers come back to 1, the user's own rates (`l2o.stall`).

    *A bad window*, with a loss, gradient or weights that are not finite or explode, scales all
    multipliers by `backoff`; each good one after it undoes a fifth of that, on a log scale. Where
    there is a copy of good weights, they are put back. Under a learned policy a loss of `harm`
    times the run's own counts, too, and after `patience` bad windows the user's own schedule has
    the run, with multipliers of 1: by then the policy is not what helps it.

    *A failed decision*, where a signal or the policy raises or answers nonsense, is taken by the
    `fallback`, as are all later ones; without a fallback the last good multipliers stay, and the
    policy is asked again at the next decision. A policy at work cannot be interrupted: a late
    answer is used, and after `max_late` late ones in a row the policy is not asked any more.

    Args:
        explosion: how many times the losses so far count as exploding, and how many times
            the norm of all weights a window earlier; `math.inf` for losses that cross zero.
        backoff: factor on all multipliers per bad window, in (0, 1).
        roll_back: whether to go back to the weights (and buffers, where the controller knows the
            model) of the last good window, and forget the optimizer's state. None: under learned
            policies, to a copy on the host in two bytes a weight, that is renewed twenty times a
            training at most. True: to an exact one, beside the weights, renewed at each good
            window. False: never.
        fallback: a schedule's name ("cosine"), or any policy; None keeps the last multipliers.
        time_limit: seconds after which the policy's answer is late; None: whenever it comes.
        max_late: late answers in a row until the policy is dropped.
        gradient_explosion: how many times the largest gradient of good windows is exploding.
        harm: how many times the losses so far a learned policy may make the loss.
        patience: bad windows until a learned policy is not asked any more.

    Raises:
        ValueError: a value out of range, or an unknown schedule.

    Example:
        >>> Guard(fallback="cosine", roll_back=True).scale
        1.0
    """

    def __init__(
        self,
        explosion: float = 10.0,
        backoff: float = 0.1,
        roll_back: bool | None = None,
        fallback: str | Policy | None = None,
        time_limit: float | None = None,
        max_late: int = 3,
        gradient_explosion: float = 1000.0,
        harm: float = 2.0,
        patience: int = 3,
    ) -> None:
        limits = {"explosion": explosion, "gradient_explosion": gradient_explosion, "harm": harm}
        for name, value in limits.items():
            if not value > 1:
                raise ValueError(f"{name} must be above 1, got {value}")
        if not 0 < backoff < 1:
            raise ValueError(f"backoff must lie between 0 and 1, got {backoff}")
        if time_limit is not None:
            check_number("time_limit", time_limit, above=True)
        check_number("max_late", max_late, 1.0)
        check_number("patience", patience, 1.0)
        self.backoff = backoff
        self.roll_back = roll_back
        self.fallback = as_policy(fallback)
        self.time_limit = time_limit
        self.max_late = max_late
        self.patience = patience
        self.scale = 1.0
        self.dropped = self.handed_over = False
        self.counts: Counter[str] = Counter()
        self._harm = harm
        self._health = Health(explosion, gradient_explosion)
        self._last_good = LastGood(light=roll_back is None)
        self._kept_at = 0
        self._keep_every = 1
        self._bad = self._late = 0
        self._needs_state = False
        self._fallback_state: State | None = None
        self._fallback_count = 0
        self._chosen: Tensor | None = None
        self._trouble: str | None = None
        self._cautious = self._watched = False
        self._ceiling, self._stall = Ceiling(), Stall()

    # Before the first step ----------------------------------------------------------------------

    @property
    def needs(self) -> frozenset[Quantity]:
        """The costly quantities that the fallback's signals and the guard's own ceiling read."""
        own = CEILING_NEEDS if self._cautious else frozenset()
        return own if self.fallback is None else own | self.fallback.signals.needs

    def begin(
        self,
        groups: Sequence[LayerGroup],
        total_steps: int | None,
        tensors: Sequence[Tensor],
        policy: Policy | None = None,
    ) -> None:
        """Begin a run.

        Args:
            groups: its layer groups.
            total_steps: its length, if known.
            tensors: parameters and buffers, to roll back.
            policy: the run's own, if it has one.

        Raises:
            ValueError: the fallback cannot drive the run.
        """
        if self.fallback is not None:
            self.fallback.check(groups, total_steps)
        self._cautious = policy is not None and policy.cautious
        self._watched = policy is not None and (policy.cautious or policy.learned)
        if self._watched:
            self._health.harm = self._harm
        if self.roll_back is None:
            self._keep_every = max(LEAST_AGE, (total_steps or UNKNOWN_LENGTH) // COPIES)
        if self._keeps:
            self._last_good.keep(tensors)

    @property
    def _keeps(self) -> bool:
        return self._watched if self.roll_back is None else self.roll_back

    def first_state(self, policy: Policy, count: int) -> State:
        """Return the policy's first state; nothing if it fails, and then it is asked again."""
        try:
            state = first_state(policy, count)
            self._needs_state = False
        except Exception as error:
            self.fail("the policy has no first state", error)
            self._needs_state, state = True, {}
        return state

    # Around a decision --------------------------------------------------------------------------

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

    def check(
        self, measured: Measurement, tensors: Sequence[Tensor], optimizer: Optimizer, step: int = 0
    ) -> str | None:
        """Return what is wrong with the window, or None; adapt `scale`, keep or restore weights.

        Args:
            measured: the window.
            tensors: parameters and buffers, to roll back.
            optimizer: what trains them.
        """
        trouble = self._health.trouble(measured)
        if trouble is None:
            self.scale = min(1.0, self.scale * self.backoff**-0.2)
            if self._watched:
                self._watch_progress(measured, step)
            if self._keeps and not 0 <= step - self._kept_at < self._keep_every:
                self._kept_at = step
                self._last_good.keep(tensors)
            return None
        self.scale = max(_LOWEST_SCALE, self.scale * self.backoff)
        self.note(trouble, "training goes on" if self.handed_over else "multipliers drop")
        if self._keeps and not self.handed_over and self._last_good.restore(tensors, optimizer):
            self.note("rolled back to the last good weights")
        self._bad += 1
        if self._watched and self._bad == self.patience:
            self._hand_over(trouble)
        return trouble

    def _watch_progress(self, measured: Measurement, step: int) -> None:
        before = self._stall.floor
        self._stall.note(float(measured.loss), step, float(measured.progress))
        if self._stall.floor > before:
            self.note("the loss does not fall", "no multiplier is below 1 from now on")

    def _hand_over(self, trouble: str) -> None:
        """Let the fallback, or the user's own schedule, have the run from now on."""
        self.handed_over, self.scale = True, 1.0
        self.dropped = self.dropped or self.fallback is not None
        then = self._instead() if self.fallback else "your own learning rates hold from now on"
        self.note(f"{self.patience} bad windows, the last because {trouble}", then)

    def choose(
        self,
        policy: Policy,
        observation: Tensor | None,
        state: State,
        measured: Measurement,
    ) -> tuple[Tensor, State, str | None]:
        """Return multipliers `[L]` before `scale`, the policy's new state, and what went wrong.

        Args:
            policy: the run's own.
            observation: for it; None if it could not be made.
            state: of the policy.
            measured: for the fallback.
        """
        if self.handed_over and self.fallback is None:
            return on_host([1.0] * len(measured.present)), state, self._trouble
        if observation is not None and not self.dropped:
            try:
                chosen, state = self._ask(policy, observation, state)
                self._chosen = chosen
                return chosen, state, self._trouble
            except Exception as error:  # whatever the policy does, the training goes on
                self.fail("the policy failed", error)
        return self._otherwise(measured), state, self._trouble

    def _ask(self, policy: Policy, observation: Tensor, state: State) -> tuple[Tensor, State]:
        if self._needs_state:
            state = first_state(policy, len(observation))
            self._needs_state = False
        start = perf_counter()
        answer = ask(policy, observation, state)
        late = self.time_limit is not None and perf_counter() - start > self.time_limit
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

    def scaled(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return multipliers times `scale`; only learning rates drop, not what guides.

        Those of a cautious policy go no further than its ceiling.
        """
        if self.handed_over:
            return chosen
        if self._cautious:
            chosen = self._ceiling.limit(chosen, measured)
        chosen = self._stall.lift(chosen, measured)
        if self.scale == 1.0:
            return chosen
        return torch.where(measured.is_guidance > 0, chosen, chosen * self.scale)

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

    # Checkpoints --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {
            "scale": self.scale,
            "counts": dict(self.counts),
            **self._health.state_dict(),
            "good": self._last_good.state_dict(),
            "dropped": self.dropped,
            "late": self._late,
            "needs_state": self._needs_state,
            "chosen": None if self._chosen is None else self._chosen.clone(),
            "fallback_state": self._fallback_state,
            "fallback_count": self._fallback_count,
            "ceiling": self._ceiling.state_dict(),
            "stall": self._stall.state_dict(),
            "bad": self._bad,
            "handed_over": self.handed_over,
            "kept_at": self._kept_at,
        }

    def kept(self) -> tuple[LastGood, int]:
        """Return what no checkpoint holds: a light copy of good weights, and its step."""
        return copy.copy(self._last_good), self._kept_at

    def keep(self, kept: tuple[LastGood, int]) -> None:
        """Take back what `kept` returned, after a load that was given up."""
        self._last_good, self._kept_at = kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self.scale = state["scale"]
        self.counts = Counter(state["counts"])
        self._health.load_state_dict(state)
        self._last_good.load_state_dict(state["good"])
        self.dropped = state.get("dropped", False)
        self._late = state.get("late", 0)
        self._needs_state = state.get("needs_state", False)
        self._chosen = to_host(state.get("chosen"))
        self._fallback_state = to_host(state.get("fallback_state"))
        self._fallback_count = state.get("fallback_count", 0)
        self._ceiling.load_state_dict(state.get("ceiling", {}))
        self._stall.load_state_dict(state.get("stall", {}))
        self._bad = state.get("bad", 0)
        self.handed_over = state.get("handed_over", False)
        # A light copy is of the weights before the load: the next good window makes another.
        self._kept_at = -self._keep_every if self.roll_back is None else state.get("kept_at", 0)


def _worded(what: str, error: Exception) -> str:
    """Word a failure without its numbers: one reason, whatever the values were."""
    text = re.sub(r"-?\d[\d.]*(e[+-]?\d+)?", "#", str(error))
    return f"{what}: {type(error).__name__}: {text}"[:300]
