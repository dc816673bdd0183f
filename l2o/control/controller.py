"""The controller: applies a policy to a live torch optimizer."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from l2o.checks import check_choice, check_steps
from l2o.control.history import History
from l2o.control.hooks import Callbacks, Hooks
from l2o.control.layout import Layout
from l2o.control.rates import SCHEDULES, Rates
from l2o.control.skips import Skips
from l2o.control.state import STATE_KEY, VERSION, Memory, carry_rows, check_state, load_meter
from l2o.control.stepping import Stepping
from l2o.control.unwrap import unwrap_optimizer
from l2o.deciding.given import as_policy
from l2o.deciding.policy import Policy
from l2o.guarding.checked_answers import first_state
from l2o.guarding.guard import Guard
from l2o.guidance.rows import GuidanceRows, Terms
from l2o.intervals import Interval, Windows
from l2o.intervals.plain import as_interval, as_plain
from l2o.layers.groups import LayerGroup
from l2o.measuring.meter import Meter
from l2o.measuring.ranks import Ranks
from l2o.modes import MODES, Mode, choose_mode
from l2o.registry import lookup
from l2o.signals.spec import SignalSpec
from l2o.tensors import on_host

logger = logging.getLogger("l2o")

MANY = 64
"""Losses observed without a step after which it is said that none may ever come."""


class LRController(Stepping):
    """Sets the learning rate of each layer group of a live optimizer, as a policy decides.

    In each `optimizer.step()` group l's rate is `lr * multiplier[l]`, afterwards the user's `lr` is
    back. Every `interval` steps the run is measured and the policy decides for the next window.
    State rides in the optimizer's `state_dict`.

        rate[l] = multiplier[l] · reference · factor,   factor = lr / reference

    The *reference* is the user's rate without their LR schedule on it (`l2o.control.rates`): it is
    what a policy's multipliers refer to, and the schedule multiplies on top. A policy sees updates
    as if no schedule were on. Steps at a rate of 0 train nothing: they are not counted.

    Args:
        policy: what decides, or the name or folder of a learned one; None leaves the decisions to
            the caller (`observation`, `set_multipliers`), as the environment does.
        optimizer: any torch optimizer; accelerate's and Lightning's wrappers are looked through.
        model: the network; groups are made by `group_layers(model, by, head)`.
        groups: layer groups, instead of `model`.
        by: how to group, see `group_layers`.
        head: the new head (module or its name), see `group_layers`.
        total_steps: length of the training; without it, policies do not know the progress.
        interval: optimizer steps per decision, or a rule of them (`l2o.intervals`); None
            takes the policy's.
        signals: the spec to observe with; None takes the policy's.
        mode: "groups", "update_scale", or "auto": groups where the optimizer is known to follow
            one LR per param group; `report()` tells why.
        guard: what to do about non-finite or exploding runs and failing policies; None lets the
            policy's exceptions through.
        history: how many decisions are kept.
        hooks: False where a step calls no hooks, as when a captured graph is replayed: the loop
            then calls `before_step()` and `step()` around it.
        guidance: the guidance terms of the loop's loss, by name or as a `GuidanceSum`, for a policy
            that scales their weights (`guidance_actions`; without a policy, those given). It sets
            their `scale`. The first loss needs it, so the first decision is taken at once: make
            LR schedulers before the controller.
        process_group: the processes that train this model together, where neither its `DTensor`s
            nor a `DistributedDataParallel` wrapper tell.
        schedule: "compose": the user's LR schedule multiplies the policy's rates; "override": it
            does nothing (but for a rate of exactly 0, which still trains nothing), and
            multipliers act on the reference.

    Raises:
        ValueError: arguments that do not fit each other; the message says what to do.
        TypeError: no torch optimizer, model or policy; the message says what to pass instead.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> from l2o.deciding.schedule_policy import SchedulePolicy
        >>> policy = SchedulePolicy("cosine", "small_backbone")
        >>> controller = LRController(policy, optimizer, model, total_steps=2)
        >>> for _ in range(2):
        ...     loss = model(torch.ones(3, 4)).square().mean()
        ...     controller.observe(loss=loss)
        ...     loss.backward(); optimizer.step(); optimizer.zero_grad()
        >>> [round(rate, 3) for rate in controller.history[0].learning_rates]
        [0.01, 0.1]
    """

    def __init__(
        self,
        policy: Policy | str | Path | None,
        optimizer: Any,
        model: nn.Module | None = None,
        *,
        groups: Sequence[LayerGroup] | None = None,
        by: Any = "auto",
        head: nn.Module | str | None = None,
        total_steps: int | None = None,
        interval: Interval | int | Mapping[str, Any] | None = None,
        signals: SignalSpec | None = None,
        mode: str = "auto",
        guard: Guard | bool | None = True,
        history: int = 10_000,
        hooks: bool = True,
        guidance: Terms | None = None,
        process_group: Any = None,
        schedule: str = "compose",
    ) -> None:
        if policy is not None:
            policy = as_policy(policy, names="the name or folder of a learned one, or None")
        total_steps = check_steps("total_steps", total_steps)
        policy = policy and policy.of_length(total_steps)
        self.policy = policy
        self.schedule = check_choice("schedule", schedule, SCHEDULES)
        self.optimizer, outer = unwrap_optimizer(optimizer, hooks)
        self.layout = Layout(self.optimizer, model, groups, by, head)
        self.groups = self.layout.groups
        if policy is not None:
            policy.check(self.groups, total_steps)
        self.guidance = GuidanceRows.of(guidance, policy)
        self.guard = Guard() if guard is True else (guard or None)
        decided = policy.decision_interval(total_steps) if policy else 10
        self.interval = as_interval(decided if interval is None else interval)
        self._windows = self._make_windows(total_steps)
        self.spec = signals or (policy.signals if policy else SignalSpec())
        self.history = History(history)
        self._buffers = list(model.buffers()) if model is not None else []
        if self.guard is not None:
            self.guard.begin(self.groups, total_steps, self._tensors(), policy)
        self.ranks = Ranks.of(model, self._parameters(), process_group)
        self.meter = self._make_meter(total_steps)
        self.mode = self._make_mode(mode, always=not hooks)
        self.rates = Rates(self.optimizer, self.groups)
        self._memory = self._begin()
        self._begun = self._risen = False
        self._skips = Skips()
        self._unstepped = 0
        self._hooks = Hooks(self.optimizer, self._callbacks(), hooks, outer)
        if policy is not None and self.guidance:
            self._begun = True
            self._decide()

    def _make_windows(self, total_steps: int | None) -> Windows:
        return Windows(self.interval, total_steps)

    def _make_meter(self, total_steps: int | None) -> Meter:
        needs = self.spec.needs | (self.guard.needs if self.guard else frozenset())
        return Meter(self.groups, needs, total_steps, self.ranks)

    def _begin(self) -> Memory:
        names = self.rows
        if self.policy is None:
            return Memory.begin(names, {})
        first = self.guard.first_state if self.guard else first_state
        return Memory.begin(names, first(self.policy, len(names)))

    def _make_mode(self, name: str, always: bool) -> Mode:
        self.mode_reason = "chosen by the caller"
        if name == "auto":
            name, self.mode_reason = choose_mode(self.optimizer)
        return lookup("mode", MODES, name)(self.optimizer, self.groups, always)

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            begin=self._begin_step,
            apply=self._apply,
            finish=self._finish,
            begin_closure=self._begin_closure,
            end_closure=self._end_closure,
            settle=self._abandon,
            save=self._save_into,
            check=self._check_from,
            load=self._load_from,
        )

    def detach(self) -> None:
        """Let go of optimizer and guidance; they go on at the user's rates and weights."""
        self._abandon()
        self._hooks.remove()
        self.guidance.release()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "a controller belongs to one live optimizer and can be neither pickled nor copied; "
            "save its state_dict(), attach a new one to the copied optimizer, and load it there"
        )

    # What the user's loop calls -----------------------------------------------------------------

    def observe(
        self,
        *,
        loss: Tensor | float | None = None,
        proxy_kl: Tensor | float | None = None,
        val_loss: Tensor | float | None = None,
    ) -> None:
        """Tell the policy what the optimizer cannot show; every argument is optional.

        Args:
            loss: this step's training loss; averaged over the steps between decisions.
            proxy_kl: this step's proxy KL; averaged likewise.
            val_loss: the validation loss, whenever it is computed.
        """
        self.meter.observe(loss, proxy_kl, val_loss)
        self._unstepped += 1
        if self._unstepped == MANY:
            logger.warning(
                "l2o: %d losses were observed since the last step of %s, which may never be "
                "called: nothing is controlled then; pass the optimizer that steps",
                MANY,
                type(self.optimizer).__name__,
            )

    @property
    def steps(self) -> int:
        """Optimizer steps done that trained something."""
        return self._memory.steps

    # Steps --------------------------------------------------------------------------------------

    def before_step(self) -> None:
        """Make the coming step use the multipliers in force; with `hooks=False` the loop calls it.

        Example:
            >>> model = nn.Linear(2, 1)
            >>> optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.1))
            >>> controller = LRController(None, optimizer, model, hooks=False)
            >>> model(torch.ones(1, 2)).sum().backward()
            >>> controller.before_step(); optimizer.step(); controller.step()
            >>> controller.steps
            1
        """
        self._begin_step()
        self._apply()

    def step(self) -> None:
        """Take note of a step that was done; with `hooks=False` the loop calls it."""
        self._finish(None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the multipliers act within the block, counting no step: for capturing a graph.

        A graph captured here reads learning rates that `before_step()` writes in place; it needs an
        optimizer with tensor learning rates.
        """
        self._use_rates()
        try:
            yield
        finally:
            self._abandon()

    def _regroup(self) -> None:
        state = self.state_dict()
        self.groups = self.layout.groups
        self.mode.follow(self.groups)
        self.rates.follow(self.groups)
        self.meter = self._make_meter(self.meter.total_steps)
        self._memory, self._basis = self._begin(), None
        self._memory.load_state_dict(state)
        # A parameter that was replaced by one of another shape begins where it is now.
        load_meter(self.meter, state["meter"], state["parameters"], strict=False)
        if self.steps:
            self._decide_for_new_layers(state)

    def _renew_meter(self) -> None:
        before, self.meter = self.meter, self._make_meter(self.meter.total_steps)
        load_meter(self.meter, before.state_dict(), None, strict=False)

    def _decide_for_new_layers(self, state: Mapping[str, Any]) -> None:
        """Let the policy decide for layers that came; of the others nothing was measured since."""
        known = carry_rows(state["groups"], self.rows, state["multipliers"], self._fresh_rows())
        self._decide()
        if self.policy is not None and self.policy.cautious:
            self._use(torch.where(known.isnan(), self._memory.multipliers, known), None)

    def _fresh_rows(self) -> Tensor:
        return on_host([math.nan] * len(self.rows))

    # Checkpoints --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs, as plain data and tensors."""
        self._settle_skips()
        return {
            "version": VERSION,
            **self._memory.state_dict(),
            "parameters": [list(group.parameter_names) for group in self.groups],
            "signals": list(self.spec.names),
            "interval": as_plain(self.interval),
            "mode": self.mode.state_dict(),
            "meter": self.meter.state_dict(),
            "rates": self.rates.state_dict(),
            "guard": self.guard.state_dict() if self.guard else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; a state that is refused changes nothing.

        Layers that were frozen then or are so now are passed over; the others go on.

        Raises:
            ValueError: it belongs to other layer groups or signals, or to a newer format.
        """
        check_state(state, self.rows, self.spec.names, self.layout.expects)
        before, kept = self.state_dict(), self.guard.kept() if self.guard else None
        try:
            self._take_state(state)
        except BaseException:
            self._take_state(before)
            if self.guard is not None and kept is not None:
                self.guard.keep(kept)
            raise

    def _take_state(self, state: dict[str, Any]) -> None:
        self._memory.load_state_dict(state)
        self._basis = None
        self._apply_guidance()
        self._skips = Skips()
        load_meter(self.meter, state["meter"], state.get("parameters"))
        self._windows = self._make_windows(self.meter.total_steps)
        self.mode.load_state_dict(state.get("mode", {}))
        self.rates.load_state_dict(state.get("rates", {}))
        if self.guard is not None and state["guard"] is not None:
            self.guard.load_state_dict(state["guard"])

    def _save_into(self, state_dict: dict[str, Any]) -> None:
        state_dict[STATE_KEY] = self.state_dict()

    def _check_from(self, state_dict: dict[str, Any]) -> None:
        if STATE_KEY in state_dict:
            check_state(state_dict[STATE_KEY], self.rows, self.spec.names, self.layout.expects)

    def _load_from(self, state_dict: dict[str, Any]) -> None:
        if STATE_KEY in state_dict:
            self.load_state_dict(state_dict[STATE_KEY])
