"""The controller: applies a policy to a live torch optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.groups import LayerGroup, group_layers
from l2o.guard import Guard
from l2o.history import Decision, History
from l2o.meter import Meter
from l2o.modes import MODES, choose_mode
from l2o.policy import Policy, State
from l2o.registry import lookup
from l2o.spec import SignalSpec

STATE_KEY = "l2o"
"""Key of the controller's state in the optimizer's state dict."""


class LRController:
    """Sets the learning rate of each layer group of a live optimizer, as a policy decides.

    Before each `optimizer.step()` group l's rate becomes `lr * multiplier[l]`, after it the user's
    `lr` is back, so any LR scheduler composes. Every `interval` steps the run is measured and the
    policy decides for the next window. State rides in the optimizer's `state_dict`.

    Args:
        policy: what decides; None leaves the decisions to the caller (`observation`,
            `set_multipliers`), as the reinforcement-learning environment does.
        optimizer: any torch optimizer.
        model: the network; groups are made by `group_layers(model, by, head)`.
        groups: layer groups, instead of `model`.
        by: how to group, see `group_layers`.
        head: the new head (module or its name), see `group_layers`.
        total_steps: length of the training; without it, policies do not know the progress.
        interval: optimizer steps per decision; None takes the policy's.
        signals: the spec to observe with; None takes the policy's.
        mode: "groups", "update_scale", or "auto": groups where the optimizer is known to keep one
            LR per param group and no LR scheduler forbids a split; `report()` tells why.
        guard: what to do about non-finite or exploding runs and failing policies; None lets the
            policy's exceptions through.
        history: how many decisions are kept.

    Raises:
        ValueError: arguments that do not fit each other; the message says what to do.

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
        optimizer: Optimizer,
        model: nn.Module | None = None,
        *,
        groups: Sequence[LayerGroup] | None = None,
        by: Any = "auto",
        head: nn.Module | str | None = None,
        total_steps: int | None = None,
        interval: int | None = None,
        signals: SignalSpec | None = None,
        mode: str = "auto",
        guard: Guard | bool | None = True,
        history: int = 10_000,
    ) -> None:
        self.policy = policy
        self.optimizer = optimizer
        self.groups = _held_groups(optimizer, model, groups, by, head)
        if policy is not None:
            policy.check(self.groups, total_steps)
        self.interval = _positive(
            "interval", interval or (policy.decision_interval(total_steps) if policy else 10)
        )
        if total_steps is not None:
            _positive("total_steps", total_steps)
        self.spec = signals or (policy.signals if policy else SignalSpec())
        self.guard = Guard() if guard is True else (guard or None)
        self.history = History(history)
        self.meter = Meter(self.groups, self.spec.needs, total_steps)
        self.mode = self._choose_mode(mode)
        self.step = 0
        self._multipliers = torch.ones(len(self.groups))
        self._state: State = policy.initial_state(len(self.groups)) if policy else {}
        self._observation: Tensor | None = None
        self._hooks = self._attach()

    def _choose_mode(self, name: str) -> Any:
        if name == "auto":
            name, self.mode_reason = choose_mode(self.optimizer, self.groups)
        else:
            self.mode_reason = "chosen by the caller"
        return lookup("mode", MODES, name)(self.optimizer, self.groups)

    def _attach(self) -> list[Any]:
        optimizer = self.optimizer
        # Hooks stay out of compiled steps. Wrapped here, not by decorators: that would make
        # `import l2o` load the whole compiler.
        before, after = (torch.compiler.disable(h) for h in (self._before_step, self._after_step))
        return [
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
            optimizer.register_state_dict_post_hook(self._save_into),
            optimizer.register_load_state_dict_pre_hook(self._load_from),
        ]

    def detach(self) -> None:
        """Let go of the optimizer; it goes on at the user's learning rates."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

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
    def multipliers(self) -> dict[str, float]:
        """The multipliers in force, by layer group."""
        return dict(zip((g.name for g in self.groups), self._multipliers.tolist(), strict=True))

    def get_last_lr(self) -> dict[str, float]:
        """Return the learning rates in force, by layer group."""
        rates = zip(self.mode.base_lrs(), self._multipliers.tolist(), strict=True)
        return {g.name: lr * m for g, (lr, m) in zip(self.groups, rates, strict=True)}

    def report(self) -> dict[str, Any]:
        """Return steps, decisions and the guard's interventions, counted by reason."""
        return {
            "steps": self.step,
            "mode": self.mode.name,
            "mode_reason": self.mode_reason,
            "decisions": len(self.history),
            "interventions": dict(self.guard.counts) if self.guard else {},
        }

    # Decisions ----------------------------------------------------------------------------------

    @property
    def observation(self) -> Tensor:
        """The newest observation `[L, F]`; before the first step, the one at the start."""
        if self._observation is None:
            self._measure()
        assert self._observation is not None
        return self._observation

    def set_multipliers(self, multipliers: Tensor, trouble: str | None = None) -> None:
        """Use these multipliers `[L]` from the next step on.

        Raises:
            ValueError: wrong shape, or a value that is negative or not finite.
        """
        chosen = multipliers.detach().to("cpu", torch.float32)
        if chosen.shape != self._multipliers.shape:
            raise ValueError(
                f"{len(self.groups)} layer groups need as many multipliers, got shape "
                f"{tuple(chosen.shape)}"
            )
        if not (torch.isfinite(chosen) & (chosen >= 0)).all():
            raise ValueError(f"multipliers must be finite and not negative, got {chosen.tolist()}")
        self._multipliers = chosen
        rates = zip(self.mode.base_lrs(), chosen.tolist(), strict=True)
        self.history.add(
            Decision(self.step, tuple(chosen.tolist()), tuple(lr * m for lr, m in rates), trouble)
        )

    def _measure(self) -> str | None:
        measured = self.meter.measure(self.step, self._multipliers, self.mode.base_lrs())
        self._observation = self.spec.encode(measured)
        if self.guard is None or self.step == 0:
            return None
        trouble = self.guard.check(measured)
        self.guard.keep_or_restore(trouble is not None, self._parameters(), self.optimizer)
        return trouble

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.groups for p in group.parameters]

    def _decide(self, trouble: str | None) -> None:
        if self.policy is None:
            return
        if self.guard is None:
            self._choose(trouble)
            return
        try:
            self._choose(trouble)
        except Exception as error:  # whatever the policy does, the training goes on
            self.guard.note(f"the policy failed: {type(error).__name__}: {error}")

    def _choose(self, trouble: str | None) -> None:
        assert self.policy is not None
        with torch.no_grad():
            multipliers, state = self.policy(self.observation, self._state)
        scale = self.guard.scale if self.guard else 1.0
        self.set_multipliers(torch.as_tensor(multipliers) * scale, trouble)
        self._state = state

    # Hooks --------------------------------------------------------------------------------------

    def _before_step(self, *_: Any) -> None:
        if self.step == 0 and self._observation is None:
            self._decide(self._measure())
        elif self.step == 0 and self.policy is not None and not len(self.history):
            self._decide(None)
        self.meter.begin_step()
        if (self.step + 1) % self.interval == 0:
            self.meter.before_step()
        self.mode.before_step(self._multipliers)

    def _after_step(self, *_: Any) -> None:
        self.mode.after_step()
        self.step += 1
        if self.step % self.interval == 0:
            self._decide(self._measure())

    # Checkpoints --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs, as plain data and tensors."""
        return {
            "version": 1,
            "groups": [group.name for group in self.groups],
            "signals": list(self.spec.names),
            "interval": self.interval,
            "step": self.step,
            "multipliers": self._multipliers.clone(),
            "policy_state": {key: value.clone() for key, value in self._state.items()},
            "observation": None if self._observation is None else self._observation.clone(),
            "meter": self.meter.state_dict(),
            "guard": self.guard.state_dict() if self.guard else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: it belongs to other layer groups or signals, or to a newer format.
        """
        if state["version"] > 1:
            raise ValueError(
                f"controller state of format {state['version']} needs a newer release of l2o"
            )
        for key, mine in (
            ("groups", [group.name for group in self.groups]),
            ("signals", list(self.spec.names)),
        ):
            if list(state[key]) != mine:
                raise ValueError(
                    f"the checkpoint's controller had {key} {list(state[key])}, this one has "
                    f"{mine}; attach the same policy to the same model"
                )
        self.step = state["step"]
        self._multipliers = state["multipliers"].clone()
        self._state = {key: value.clone() for key, value in state["policy_state"].items()}
        observation = state["observation"]
        self._observation = None if observation is None else observation.clone()
        self.meter.load_state_dict(state["meter"])
        if self.guard is not None and state["guard"] is not None:
            self.guard.load_state_dict(state["guard"])

    def _save_into(self, _: Optimizer, state_dict: dict[str, Any]) -> None:
        state_dict[STATE_KEY] = self.state_dict()

    def _load_from(self, _: Optimizer, state_dict: dict[str, Any]) -> None:
        if STATE_KEY in state_dict:
            self.load_state_dict(state_dict[STATE_KEY])


def _held_groups(
    optimizer: Optimizer,
    model: nn.Module | None,
    groups: Sequence[LayerGroup] | None,
    by: Any,
    head: nn.Module | str | None,
) -> tuple[LayerGroup, ...]:
    """Return the layer groups, less the parameters that the optimizer does not hold."""
    if (model is None) == (groups is None):
        raise ValueError("pass either the model or its layer groups, not both")
    made = group_layers(model, by=by, head=head) if model is not None else tuple(groups or ())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    kept = []
    for group in made:
        pairs = [
            (name, p)
            for name, p in zip(group.parameter_names, group.parameters, strict=True)
            if id(p) in held
        ]
        if pairs:
            names, parameters = zip(*pairs, strict=True)
            kept.append(LayerGroup(group.name, names, parameters, group.depth, group.is_head))
    if not kept:
        raise ValueError(
            "the optimizer holds none of the model's trainable parameters; make it from "
            "model.parameters() of the very model that is passed here"
        )
    return tuple(kept)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value
