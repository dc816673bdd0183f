"""The controller: applies a policy to a live torch optimizer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

from l2o.answers import ask, checked_multipliers, first_state
from l2o.checkpoint import STATE_KEY, VERSION, Memory, check_state, load_meter
from l2o.checks import check_at_least_one
from l2o.fallback import unmeasured
from l2o.groups import LayerGroup
from l2o.guard import Guard
from l2o.guidance_rows import GuidanceRows, Terms
from l2o.history import Decision, History
from l2o.hooks import Callbacks, Hooks
from l2o.interval import Interval, Windows, as_interval, as_plain
from l2o.layout import Layout
from l2o.meter import Meter
from l2o.modes import MODES, Mode, choose_mode
from l2o.policy import Policy
from l2o.ranks import Ranks
from l2o.registry import lookup
from l2o.seeing import Seeing
from l2o.signals import Measurement
from l2o.skips import Skips
from l2o.spec import SignalSpec
from l2o.unwrap import unwrap_optimizer

T = TypeVar("T")


class LRController(Seeing):
    """Sets the learning rate of each layer group of a live optimizer, as a policy decides.

    Before each `optimizer.step()` group l's rate becomes `lr * multiplier[l]`, after it the user's
    `lr` is back, so any LR scheduler composes. Every `interval` steps the run is measured and the
    policy decides for the next window. State rides in the optimizer's `state_dict`.

    Args:
        policy: what decides; None leaves the decisions to the caller (`observation`,
            `set_multipliers`), as the reinforcement-learning environment does.
        optimizer: any torch optimizer; accelerate's and Lightning's wrappers are looked through.
        model: the network; groups are made by `group_layers(model, by, head)`.
        groups: layer groups, instead of `model`.
        by: how to group, see `group_layers`.
        head: the new head (module or its name), see `group_layers`.
        total_steps: length of the training; without it, policies do not know the progress.
        interval: optimizer steps per decision, or a rule of them (`l2o.interval`); None takes the
            policy's.
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

    Raises:
        ValueError: arguments that do not fit each other; the message says what to do.
        TypeError: no torch optimizer; the message says what to pass instead.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> from l2o.schedule_policy import SchedulePolicy
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
        policy: Policy | None,
        optimizer: Any,
        model: nn.Module | None = None,
        *,
        groups: Sequence[LayerGroup] | None = None,
        by: Any = "auto",
        head: nn.Module | str | None = None,
        total_steps: int | None = None,
        interval: Interval | Mapping[str, Any] | None = None,
        signals: SignalSpec | None = None,
        mode: str = "auto",
        guard: Guard | bool | None = True,
        history: int = 10_000,
        hooks: bool = True,
        guidance: Terms | None = None,
        process_group: Any = None,
    ) -> None:
        self.policy = policy
        self.optimizer = unwrap_optimizer(optimizer, hooks)
        self.layout = Layout(self.optimizer, model, groups, by, head)
        self.groups = self.layout.groups
        if policy is not None:
            policy.check(self.groups, total_steps)
        self.guidance = GuidanceRows.of(guidance, policy)
        decided = policy.decision_interval(total_steps) if policy else 10
        self.interval = as_interval(decided if interval is None else interval)
        self._windows = Windows(self.interval, total_steps)
        if total_steps is not None:
            check_at_least_one("total_steps", total_steps)
        self.spec = signals or (policy.signals if policy else SignalSpec())
        self.guard = Guard() if guard is True else (guard or None)
        self.history = History(history)
        self._buffers = list(model.buffers()) if model is not None else []
        if self.guard is not None:
            self.guard.begin(self.groups, total_steps, self._tensors())
        self.ranks = Ranks.of(model, self._parameters(), process_group)
        self.meter = self._make_meter(total_steps)
        self.mode = self._make_mode(mode, always=not hooks)
        self._memory = self._begin()
        self._begun = False
        self._skips = Skips()
        self._hooks = Hooks(self.optimizer, self._callbacks(), steps=hooks)
        if policy is not None and self.guidance:
            self._begun = True
            self._decide()

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
            begin=self.before_step,
            finish=self._finish,
            begin_closure=lambda: self.mode.begin_closure(),
            end_closure=lambda: self.mode.end_closure(),
            settle=lambda: self.mode.abandon_step(),
            save=self._save_into,
            load=self._load_from,
        )

    def detach(self) -> None:
        """Let go of optimizer and guidance; they go on at the user's rates and weights."""
        self.mode.abandon_step()
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

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self._memory.steps

    # Decisions ----------------------------------------------------------------------------------

    @property
    def observation(self) -> Tensor:
        """The newest observation `[L, F]`; before the first step, the one at the start."""
        if self._memory.observation is None:
            self._measure()
        assert self._memory.observation is not None
        return self._memory.observation

    def set_multipliers(self, multipliers: Tensor, trouble: str | None = None) -> None:
        """Use these multipliers `[L]`, of layers and guidance terms, from the next step on.

        Raises:
            ValueError: wrong shape, or a value that is negative or not finite.
        """
        self._use(checked_multipliers(multipliers, len(self.rows)), trouble)

    def _use(self, chosen: Tensor, trouble: str | None) -> None:
        self._memory.multipliers = chosen
        self._apply_guidance()
        self._guarded("the decision was not recorded", lambda: self._record(chosen, trouble))

    def _apply_guidance(self) -> None:
        if self.guidance:
            self.guidance.apply(self._memory.multipliers[len(self.groups) :])

    def _record(self, chosen: Tensor, trouble: str | None) -> None:
        factors = chosen.tolist()
        rates = tuple(map(operator.mul, self.mode.base_lrs(), factors))
        self.history.add(Decision(self.steps, tuple(factors), rates, trouble))

    def _guarded(self, what: str, function: Callable[[], T]) -> T | None:
        return function() if self.guard is None else self.guard.attempt(what, function)

    def _measure(self) -> Measurement:
        layers = self.meter.measure(self.steps, self._factors, self.mode.base_lrs())
        measured = self._with_guidance(layers)
        self._memory.observation = self.spec.encode(measured)
        return measured

    def _with_guidance(self, layers: Measurement) -> Measurement:
        return self.guidance.join(layers, self._memory.multipliers[len(self.groups) :])

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.groups for p in group.parameters]

    def _tensors(self) -> list[Tensor]:
        return [*self._parameters(), *self._buffers]

    def _decide(self) -> None:
        """Measure, and let the policy decide; under a guard, nothing that fails here comes out."""
        if self.guard is not None:
            self._decide_guarded(self.guard)
            return
        self._measure()
        if self.policy is None:
            return
        chosen = self._memory.multipliers
        try:
            chosen, state = ask(self.policy, self.observation, self._memory.policy_state)
            self._memory.policy_state = state
        finally:
            # Whatever fails in one process, all use the first one's multipliers.
            agreed = self.ranks.agree(chosen)
            if agreed is not self._memory.multipliers:
                self._use(agreed, None)

    def _decide_guarded(self, guard: Guard) -> None:
        memory = self._memory
        measured, trouble = guard.measure(self._measure), None
        if measured is not None:
            trouble = guard.attempt(
                "the window could not be checked",
                lambda: guard.check(measured, self._tensors(), self.optimizer),
            )
        if self.policy is None:
            return
        known = measured or self._with_guidance(
            unmeasured(self.groups, self.steps, self.meter.total_steps, self._factors)
        )
        seen = None if measured is None else memory.observation
        chosen, memory.policy_state, failed = guard.choose(
            self.policy, seen, memory.policy_state, known
        )
        self._use(self.ranks.agree(guard.scaled(chosen, known)), trouble or failed)

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
        self.mode.abandon_step()
        if self.layout.update():
            self._regroup()
        if self.steps == 0 and not self._begun:
            self._begun = True
            if self.policy is not None or self._memory.observation is None:
                self._decide()
        if self.meter.watching:
            self._guarded("the head cannot be measured", self.meter.begin_step)
        if self._windows.ends_at(self.steps + 1):
            self._guarded("the update cannot be measured", self.meter.before_step)
        self.mode.before_step(self._factors)

    def step(self) -> None:
        """Take note of a step that was done; with `hooks=False` the loop calls it."""
        self._finish(None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the multipliers act within the block, counting no step: for capturing a graph.

        A graph captured here reads learning rates that `before_step()` writes in place; it needs an
        optimizer with tensor learning rates.
        """
        self.mode.before_step(self._factors)
        try:
            yield
        finally:
            self.mode.abandon_step()

    def _finish(self, found_inf: Tensor | None) -> None:
        self.mode.after_step()
        self._memory.steps += 1
        if found_inf is not None:
            self._skips.add(found_inf)
        # A skipped step was counted: the decision waits for the steps that make up for it.
        if self._windows.ends_at(self.steps) and not self._settle_skips():
            self._decide()

    def _settle_skips(self) -> int:
        skipped = self._skips.take()
        self._memory.steps -= skipped
        return skipped

    def _regroup(self) -> None:
        state = self.state_dict()
        self.groups = self.layout.groups
        self.mode.follow(self.groups)
        self.meter = self._make_meter(self.meter.total_steps)
        self._memory = self._begin()
        self._memory.load_state_dict(state)
        load_meter(self.meter, state["meter"], state["parameters"])
        if self.steps:
            self._decide()

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
            "guard": self.guard.state_dict() if self.guard else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Layers that were frozen then or are so now are passed over; the others go on.

        Raises:
            ValueError: it belongs to other layer groups or signals, or to a newer format.
        """
        check_state(state, self.rows, self.spec.names, self.layout.expects)
        self._memory.load_state_dict(state)
        self._apply_guidance()
        self._skips = Skips()
        load_meter(self.meter, state["meter"], state.get("parameters"))
        self._windows = Windows(self.interval, self.meter.total_steps)
        self.mode.load_state_dict(state.get("mode", {}))
        if self.guard is not None and state["guard"] is not None:
            self.guard.load_state_dict(state["guard"])

    def _save_into(self, state_dict: dict[str, Any]) -> None:
        state_dict[STATE_KEY] = self.state_dict()

    def _load_from(self, state_dict: dict[str, Any]) -> None:
        if STATE_KEY in state_dict:
            self.load_state_dict(state_dict[STATE_KEY])
