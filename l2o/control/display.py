"""What a controller shows of itself: what is in force, pictures and TensorBoard."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from l2o.control.history import History
from l2o.control.rates import Rates
from l2o.control.state import Memory
from l2o.deciding.policy import Policy
from l2o.guarding.guard import Guard
from l2o.guidance.rows import GuidanceRows
from l2o.layers.groups import LayerGroup
from l2o.measuring.meter import Meter
from l2o.measuring.ranks import Ranks
from l2o.modes import Mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Seeing(ABC):
    """Tells what is in force, draws and logs a history; what that takes is imported only then.

    Attributes:
        policy: what decides; None: the caller does.
        optimizer: the torch optimizer.
        groups: layer groups, input to head.
        guidance: the guidance terms whose weights the policy scales.
        history: the decisions.
        mode: how multipliers reach the optimizer, and `mode_reason`, why so.
        guard: what steps in when things go wrong, if anything does.
        meter: what measures the run.
        rates: the user's learning rates.
        ranks: the processes of the run.
    """

    policy: Policy | None
    optimizer: Optimizer
    groups: tuple[LayerGroup, ...]
    guidance: GuidanceRows
    history: History
    mode: Mode
    mode_reason: str
    guard: Guard | None
    meter: Meter
    ranks: Ranks
    rates: Rates
    _memory: Memory

    @property
    @abstractmethod
    def steps(self) -> int:
        """Optimizer steps done."""

    @abstractmethod
    def _rates_now(self) -> list[float]:
        """Return the rate of each layer group without its multiplier, as it is now."""

    @abstractmethod
    def _settle_skips(self) -> int:
        """Take back steps that were skipped, and return how many."""

    @property
    def rows(self) -> list[str]:
        """Names of the observation's rows: layer groups, then `guidance/NAME` of scaled terms."""
        return [*(group.name for group in self.groups), *self.guidance.names]

    @property
    def multipliers(self) -> dict[str, float]:
        """The multipliers in force, by layer group and `guidance/NAME`."""
        return dict(zip(self.rows, self._memory.multipliers.tolist(), strict=True))

    def get_last_lr(self) -> dict[str, float]:
        """Return the learning rates in force, by layer group."""
        rates = zip(self._rates_now(), self._factors.tolist(), strict=True)
        return {g.name: lr * m for g, (lr, m) in zip(self.groups, rates, strict=True)}

    @property
    def _factors(self) -> Tensor:
        """Multipliers of the layers alone."""
        every = self._memory.multipliers
        return every[: len(self.groups)] if self.guidance else every

    def _facts(self, name: str) -> dict[str, Any]:
        """Return what a server is told of the run."""
        return {
            "name": name,
            "kind": "controller",
            "groups": self.rows,
            "total_steps": self.meter.total_steps,
            "policy": repr(self.policy)[:200] if self.policy is not None else "",
            "optimizer": type(self.optimizer).__name__,
        }

    def report(self) -> dict[str, Any]:
        """Return steps, decisions and the guard's interventions, counted by reason."""
        self._settle_skips()
        return {
            "steps": self.steps,
            "mode": self.mode.name,
            "mode_reason": self.mode_reason,
            "processes": self.ranks.size,
            "decisions": len(self.history),
            "interventions": dict(self.guard.counts) if self.guard else {},
        }

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the learning rate of every layer group over the steps, as far as `history` goes.

        Below them, the multipliers of guidance weights, if the policy has any.

        Args:
            path: where to write the picture ("rates.png"), if anywhere.

        Raises:
            ValueError: no decision was taken yet.
            MissingExtraError: matplotlib is not installed.
        """
        from l2o.control.plot import plot_history

        names = [group.name for group in self.groups]
        has_head = self.groups[-1].is_head
        return plot_history(
            self.history, names, self.steps, has_head, path, list(self.guidance.terms)
        )

    def log_to(
        self,
        target: str | os.PathLike[str] | Any,
        *,
        token: str | None = None,
        name: str = "",
    ) -> Any:
        """Write every decision to TensorBoard or to a server, those so far included.

        Args:
            target: a folder; the `SummaryWriter` that the training loop has already; or the URL of
                a server (`l2o serve`), "http://...", which gets the losses, too. What is sent waits
                in a buffer, never the training; `close()` of what is returned sends the rest.
            token: for the server; None takes the environment variable L2O_TOKEN.
            name: what the server is to call the run.

        Returns:
            The writer.
        """
        if isinstance(target, str) and target.startswith(("http://", "https://")):
            from l2o.integrations.remote.telemetry import RemoteLog

            sent = RemoteLog(target, self._facts(name), token)
            sent.follow(self.history, lambda: self.meter.losses)
            return sent
        from l2o.control.tensorboard import TensorBoardLog

        log = TensorBoardLog(target, lambda: self.rows)
        for decision in self.history:
            log(decision)
        self.history.listeners.append(log)
        return log.writer
