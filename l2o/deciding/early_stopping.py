"""Early stopping as a policy around another one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import Policy, State
from l2o.layers.groups import LayerGroup
from l2o.signals.spec import SignalSpec
from l2o.tensors import on_host

_INNER = "policy."


class EarlyStopping(Policy):
    """Multiplier 0 for all layers once the validation loss has stopped falling, or time is up.

    Let v₁, v₂, ... be the validation losses as they are reported. It stops for good when
    `patience` of them in a row are not below the best before, or when progress reaches `budget`.
    A decision that sees no new validation loss counts for nothing, so validation may be rarer than
    decisions; without any, only `budget` can stop. Both ways are baselines of Chen et al.,
    Automated Synthetic-to-Real Generalization, ICML 2020; Prechelt, Early Stopping - But When?,
    1998.

    A learning rate of 0 stops the weights only under optimizers that scale their whole step by it
    (not `MomentumLRSGD`, whose momentum runs out first).

    Args:
        policy: decides until then; it sees its own signals and keeps its own state.
        patience: validation losses to wait for a better one, 1 or more; None: do not watch.
        budget: share of the training after which to stop, in (0, 1]; None: no limit.

    Raises:
        ValueError: both are None, or one is out of range. In a call: a budget is set and the
            length of the training is unknown.

    Example:
        >>> from l2o.deciding.schedule_policy import SchedulePolicy
        >>> stopping = EarlyStopping(SchedulePolicy("constant"), patience=1)
        >>> stopping.signals.names[-2:]
        ('validation_loss', 'has_validation_loss')
        >>> state = stopping.initial_state(1)
        >>> seen = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.5, 1.0]])
        >>> first, state = stopping(seen, state)
        >>> seen[0, 5] = 0.6
        >>> second, state = stopping(seen, state)
        >>> first, second
        (tensor([1.]), tensor([0.]))
    """

    def __init__(
        self, policy: Policy, patience: int | None = 3, budget: float | None = None
    ) -> None:
        if patience is None and budget is None:
            raise ValueError("early stopping needs patience, budget or both; both are None")
        if patience is not None:
            check_number("patience", patience, 1.0)
        if budget is not None:
            check_number("budget", budget, 0.0, 1.0, above=True)
        self.policy = policy
        self.patience = patience
        self.budget = budget
        self.interval = policy.interval
        self.guidance_actions = policy.guidance_actions
        wanted = ["validation_loss", "has_validation_loss"] if patience is not None else []
        wanted += ["progress", "has_progress"] if budget is not None else []
        inner = policy.signals.names
        self.signals = SignalSpec((*inner, *(name for name in wanted if name not in inner)))

    @property
    def needs_progress(self) -> bool:
        """Whether it can decide only where the length of the training is known."""
        return self.budget is not None or bool(getattr(self.policy, "needs_progress", False))

    def __repr__(self) -> str:
        return f"EarlyStopping({self.policy!r}, patience={self.patience}, budget={self.budget})"

    def initial_state(self, num_layers: int) -> State:
        """Return the inner policy's state, its keys prefixed, and what stopping remembers."""
        inner = self.policy.initial_state(num_layers)
        return {
            **{_INNER + key: value for key, value in inner.items()},
            "best": on_host(torch.inf),
            "latest": on_host(torch.inf),
            "waited": on_host(0, torch.int64),
            "stopped": on_host(False, torch.bool),
        }

    def of_length(self, total_steps: int | None) -> EarlyStopping:
        """Return the early stopping of what the inner policy is in a training of this length."""
        return EarlyStopping(self.policy.of_length(total_steps), self.patience, self.budget)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse what the inner policy refuses and, with a budget, a run of unknown length."""
        self.policy.check(groups, total_steps)
        if self.budget is not None and total_steps is None:
            self._without_progress()

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the inner policy's multipliers `[L]`, or zeros once stopped."""
        inner_state = {
            key.removeprefix(_INNER): value
            for key, value in state.items()
            if key.startswith(_INNER)
        }
        width = len(self.policy.signals)
        multipliers, inner_state = self.policy(observation[:, :width], inner_state)
        own = self._watch(observation, state)
        multipliers = torch.where(own["stopped"], torch.zeros_like(multipliers), multipliers)
        return multipliers, {**{_INNER + k: v for k, v in inner_state.items()}, **own}

    def _watch(self, observation: Tensor, state: State) -> State:
        row = observation[observation[:, 0].argmax()]
        best, latest, waited = state["best"], state["latest"], state["waited"]
        stopped = state["stopped"]
        if self.patience is not None:
            index = self.signals.index("validation_loss")
            value = row[index]
            # The signal repeats until the next validation; only at its ceiling can a repeated
            # value be a new loss, and then waiting is right: the run has diverged.
            new = (value != latest) | (value >= self.signals.limits[index])
            new = new & (row[self.signals.index("has_validation_loss")] > 0)
            better = new & (value < best)
            waited = torch.where(better, 0, waited + (new & ~better))
            best = torch.where(better, value, best)
            latest = torch.where(new, value, latest)
            stopped = stopped | (waited >= self.patience)
        if self.budget is not None:
            if not bool(row[self.signals.index("has_progress")] > 0):
                self._without_progress()
            # Progress is a rounded i / T: the step at the budget must not miss it.
            stopped = stopped | (row[self.signals.index("progress")] >= self.budget - 1e-6)
        return {"best": best, "latest": latest, "waited": waited, "stopped": stopped}

    def _without_progress(self) -> None:
        raise ValueError(
            f"a budget of {self.budget} needs to know how long the training is; "
            "pass total_steps=... to LRController"
        )
