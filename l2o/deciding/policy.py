"""The contract of policies: observation -> multipliers, possibly with a state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from l2o.intervals import Interval
from l2o.intervals.plain import as_interval
from l2o.layers.groups import LayerGroup
from l2o.signals.spec import SignalSpec

State = dict[str, Tensor]
"""A policy's memory between decisions: plain tensors, so that it rides in checkpoints."""


class Policy(ABC):
    """Chooses each layer group's multiplier from what was measured.

    Attributes:
        signals: the spec of the observations it wants.
        interval: optimizer steps between its decisions, or a rule of them
            (`l2o.intervals`).
        keeps_interval: whether a fine-tune's own `interval` does not count for it: it was made for
            the moments at which it decides.
        guidance_actions: names of the guidance terms whose weights it scales; its observation has
            a row for each after the layers, and its multipliers a number (`l2o.guidance.rows`).
        cautious: whether a guard holds its multipliers back until layers have been measured, which
            it does after 1, 2, 4, ... steps: for policies that may exceed the user's rates.
        learned: whether it learned on other runs: a guard then watches that the loss falls under
            it, and goes back to good weights by default.

    Example:
        >>> class Halve(Policy):
        ...     def __call__(self, observation, state):
        ...         return torch.full(observation.shape[:1], 0.5), state
    """

    signals: SignalSpec = SignalSpec(("present",))
    interval: Interval | int = 10
    keeps_interval: bool = False
    guidance_actions: tuple[str, ...] = ()
    cautious: bool = False
    learned: bool = False

    def initial_state(self, num_layers: int) -> State:
        """Return the state before the first decision."""
        del num_layers
        return {}

    def decision_interval(self, total_steps: int | None) -> Interval:
        """Return the interval of its decisions in a training of this length.

        Args:
            total_steps: length of the training, if known.
        """
        del total_steps
        return as_interval(self.interval)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse a run that it could not drive, before the first step.

        Args:
            groups: the run's layer groups.
            total_steps: length of the training, if known.

        Raises:
            ValueError: what is missing, and how to supply it.
        """
        del groups, total_steps

    def of_length(self, total_steps: int | None) -> Policy:
        """Return the policy of a training of this length; only those that count in steps differ.

        Args:
            total_steps: length of the training, if known.
        """
        del total_steps
        return self

    def for_run(self, *key: int) -> Policy:
        """Return the policy of one run among several; only those that draw tell runs apart.

        Args:
            key: what identifies the run, such as the seeds of its task and its batches.
        """
        del key
        return self

    @abstractmethod
    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Decide once.

        Args:
            observation: `[L, F]`, float32 on CPU, as `signals` encodes it; L counts the rows of
                `guidance_actions`, too.
            state: what the last call returned, or `initial_state(L)`.

        Returns:
            Multipliers `[L]` (finite, not negative), and the new state.
        """
