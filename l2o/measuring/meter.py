"""The meter: measures a live training run, for the environment and for deployment alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.layers.facts import facts_by_name
from l2o.layers.groups import LayerGroup
from l2o.measuring.head_window import HeadWindow
from l2o.measuring.ranks import Ranks
from l2o.measuring.reader import DOT, GRADIENT, UPDATE, WEIGHT, Reader
from l2o.measuring.sampling import Budget
from l2o.measuring.window import WindowMean, as_scalar
from l2o.signals import MISSING, Measurement, Quantity
from l2o.signals.table import ROW, ROWS, RUN_FIELDS, RUN_ROWS, MeasuredTable

OBSERVED = ("loss", "proxy_kl")
"""Quantities whose mean over a window is measured."""
VALIDATED = ("validation_loss", "previous_validation_loss")
"""Quantities of which the newest value is measured, and the one before."""
READ = (
    *("weight_norm", "gradient_norm", "update_norm", "gradient_dot_update", "drift_norm"),
    "largest_update",
)
"""Fields of a measurement in the order in which a `Reader` gives what they are made of; the last
is made of the others."""
LARGEST = 5
READ_ROWS = np.array([ROW[name] for name in READ])


class Meter:
    """Measures layer groups and observed losses; nothing is copied to the host but once a decision.

    Args:
        groups: layer groups, input to head.
        needs: the costly quantities to measure.
        total_steps: length of the training in optimizer steps, if known.
        ranks: the processes of the run; each measures its own part of sharded parameters.
        budget: how much of a large model is read; None: `l2o.measuring.sampling.BUDGET`.
    """

    def __init__(
        self,
        groups: Sequence[LayerGroup],
        needs: frozenset[Quantity],
        total_steps: int | None = None,
        ranks: Ranks | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        self.groups = tuple(groups)
        self.needs = needs
        self.total_steps = total_steps
        piece = self.ranks.piece if self.ranks.sharded else None
        self._reader = Reader([p for g in groups for p in g.parameters], needs, piece, budget)
        self._first = np.cumsum([0, *(len(g.parameters) for g in groups)])[:-1]
        # For the sizes of tensors within their groups.
        self._numels = np.array([float(p.numel()) for g in groups for p in g.parameters])
        self._windows = {name: WindowMean(name) for name in OBSERVED}
        self._head = HeadWindow(self.groups) if "head" in needs else None
        self._measured_at = 0
        self._validation_losses: list[Tensor | float] = [MISSING, MISSING]
        self._rows = _fixed_rows(self.groups)
        start = torch.from_numpy(self.read(gradients=False)[0][WEIGHT])
        self._rows[ROW["start_norm"]] = self.ranks.whole_norms(start).numpy()

    def observe(
        self,
        loss: Tensor | float | None = None,
        proxy_kl: Tensor | float | None = None,
        validation_loss: Tensor | float | None = None,
    ) -> None:
        """Take in what the training loop knows; tensors stay on their device until a decision.

        Each is a floating-point scalar or has one value per example, of which the mean counts.

        Raises:
            TypeError: no number, or not floating-point; nothing is taken in.
            ValueError: a tensor without elements; nothing is taken in.
        """
        given = {"loss": loss, "proxy_kl": proxy_kl, "val_loss": validation_loss}
        taken = {name: as_scalar(name, v) for name, v in given.items() if v is not None}
        for name in OBSERVED:
            if name in taken:
                self._windows[name].add(taken[name])
        if "val_loss" in taken:
            value = taken["val_loss"]
            # Cloned, since the caller may go on to write into it.
            kept = value.clone() if isinstance(value, Tensor) else value
            self._validation_losses = [kept, self._validation_losses[0]]

    @property
    def losses(self) -> dict[str, float]:
        """Losses at the newest measurement, by name, NaN for what was not observed.

        Nothing is waited for: they came to the host with that measurement.
        """
        found = {name: window.closed_last for name, window in self._windows.items()}
        newest = self._validation_losses[0]
        found["validation_loss"] = MISSING if isinstance(newest, Tensor) else newest
        return found

    @property
    def watching(self) -> bool:
        """Whether `begin_step` must be called before every step."""
        return self._head is not None

    def fits(self) -> bool:
        """Return whether the parameters still have the shapes that they are measured by."""
        return self._reader.fits()

    def begin_step(self) -> None:
        """Take in what is watched at every step: the head's weights, if a signal asks for them."""
        if self._head is not None:
            self._head.add()

    def before_step(self) -> bool:
        """Remember the weights, so that `measure` can tell this step's update.

        Returns:
            False if parameters have other shapes now: then it takes another meter to measure them.
        """
        return self._reader.before_step()

    def measure(
        self,
        step: int,
        multipliers: Tensor,
        base_lrs: Sequence[float],
        schedule: Sequence[float] | None = None,
        closes: bool = True,
    ) -> Measurement:
        """Measure now, after `step` optimizer steps, and begin a new window.

        With several processes a collective call: all of them measure at the same step.

        At step 0 neither gradients nor losses count: a training loop may have computed its first
        ones by then or not, and a policy must see the same either way.

        Args:
            step: optimizer steps done.
            multipliers: `[L]`, those of the window that ends here.
            base_lrs: `[L]`, the user's learning rates, those without a schedule where there is one.
            schedule: `[L]`, the factor on them that the measured step was taken with (current rate
                over reference rate); the update's size and its product with the gradient are
                divided by it, so that a policy sees them as if there were no schedule. Where it is
                0 or not finite they are missing. None: there is no schedule.
            closes: False for a look within a window, which goes on: losses are means so far.
        """
        pending = self._pending(step)
        layers, numbers = self.read(step > 0, list(pending.values()))
        if schedule is not None and schedule.count(1.0) < len(schedule):
            _without_schedule(layers, schedule)
        run = self._run(step, dict(zip(pending, numbers, strict=True)), closes)
        rows = self._rows.copy()
        with np.errstate(over="ignore"):  # what float32 cannot hold is inf, and that is meant
            rows[ROW["multiplier"]] = multipliers.numpy()
            rows[ROW["base_lr"]] = base_lrs
            rows[READ_ROWS] = layers
            rows[RUN_ROWS] = np.array([[run.get(name, MISSING)] for name in RUN_FIELDS])
        measured = self.ranks.reduce(MeasuredTable(rows))
        if self.ranks.size > 1 and closes:
            for name, window in self._windows.items():
                # What all processes agree on is what a checkpoint of one of them must hold.
                window.close_with(float(getattr(measured, name)))
        return measured

    def _pending(self, step: int) -> dict[str, Tensor]:
        """Return the scalars that are still to come to the host."""
        windows = self._windows | self._head.windows if self._head else self._windows
        found = {}
        for name, window in windows.items():
            if step > 0 and window.sum is not None:
                found[name] = window.sum
        for name, value in zip(VALIDATED, self._validation_losses, strict=True):
            if isinstance(value, Tensor):
                found[name] = value
        return found

    def _run(self, step: int, on_host: dict[str, float], closes: bool) -> dict[str, float]:
        """Return the fields of the run, and close the windows if they end."""
        take = WindowMean.close if closes else WindowMean.look
        found = {}
        for name, window in self._windows.items():
            pair = take(window, on_host.get(name)) if step > 0 else (MISSING, MISSING)
            found[name], found[f"previous_{name}"] = pair
        for index, name in enumerate(VALIDATED):
            value = self._validation_losses[index]
            found[name] = on_host[name] if isinstance(value, Tensor) else value
            self._validation_losses[index] = found[name]
        if self.total_steps is not None:
            found["progress"] = min(step / self.total_steps, 1.0)
            found["steps_left"] = float(max(self.total_steps - step, 0))
            # Of the window's steps, the last began at step - 1.
            middle = max(self._measured_at + step - 1, 0) / 2
            found["window_progress"] = min(middle / self.total_steps, 1.0)
        if closes:
            self._measured_at = step
        if self._head is not None and step > 0:
            for name, window in self._head.windows.items():
                found[name] = take(window, on_host.get(name))[0]
        return found

    def read(
        self, gradients: bool, scalars: Sequence[Tensor] = ()
    ) -> tuple[NDArray[np.float64], list[float]]:
        """Read parameters and gradients: the costly part, once a decision.

        Args:
            gradients: whether gradients count.
            scalars: what is to come to the host along with it.

        Returns:
            Fields of a measurement `[6, L]`, those named in `READ`, and the scalars.
        """
        sums, numbers = self._reader.read(gradients, scalars)
        layers = np.empty((len(READ), len(self._first)))
        np.add.reduceat(sums, self._first, axis=1, out=layers[:LARGEST])
        layers[LARGEST] = (
            self._largest(sums, layers[WEIGHT]) if "largest" in self.needs else MISSING
        )
        # A layer's gradient is that of its parameters which have one; without any it is missing.
        gradient = sums[GRADIENT]
        if np.isnan(layers[GRADIENT]).any():
            there = ~np.isnan(gradient)
            layers[GRADIENT] = np.add.reduceat(np.where(there, gradient, 0.0), self._first)
            layers[GRADIENT, ~np.logical_or.reduceat(there, self._first)] = MISSING
        products = layers[DOT].copy()
        layers[DOT] = 0.0  # ⟨g, −Δθ⟩ is no square
        np.sqrt(layers, out=layers)
        layers[DOT] = products
        return layers, numbers

    def _largest(self, sums: NDArray[np.float64], weights: NDArray[np.float64]) -> Any:
        """Return the squares of the largest relative update of a tensor `[L]`.

        Args:
            sums: of squares of each tensor.
            weights: of squares of each layer's weights `[L]`.
        """
        counts = np.diff([*self._first, len(self._numels)])
        mean_square = weights / np.maximum(np.add.reduceat(self._numels, self._first), 1.0)
        floor = self._numels * np.repeat(mean_square, counts)
        with np.errstate(all="ignore"):  # of weights that are all zero it is inf, and that is meant
            each = sums[UPDATE] / np.maximum(sums[WEIGHT], floor)
        each[np.isnan(each) & ~np.isnan(sums[UPDATE])] = np.inf
        return np.maximum.reduceat(each, self._first)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on bit-equal."""
        return {
            "start": self._reader.start_state(),
            "start_norm": torch.from_numpy(self._rows[ROW["start_norm"]].copy()),
            "windows": {name: window.state_dict() for name, window in self._windows.items()},
            "validation_loss": [float(value) for value in self._validation_losses],
            "head": self._head.state_dict() if self._head else None,
            "measured_at": self._measured_at,
            "total_steps": self.total_steps,
        }

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """Go on from `state_dict()`.

        Args:
            state: of this release or an older one, which kept the whole start of every parameter.
            strict: refuse a state of parameters of other shapes; False lets these begin anew, for
                parameters that were replaced in the middle of a run.

        Raises:
            ValueError: it is of other parameters.
        """
        fits = self._reader.fits_start(state["start"])
        if strict and not all(fits):
            raise ValueError(
                "the checkpoint's controller watched other parameters than this one; "
                "attach the controller to the same model with the same layer groups"
            )
        self._reader.load_start(state["start"])
        goes_on = np.logical_and.reduceat(fits, self._first)
        theirs = np.asarray(state["start_norm"].cpu().numpy())
        mine = self._rows[ROW["start_norm"]]
        self._rows[ROW["start_norm"]] = np.where(goes_on, theirs, mine)
        for name, window in self._windows.items():
            window.load_state_dict(state["windows"][name])
        self._validation_losses = list(state["validation_loss"])
        if self._head is not None and state.get("head") is not None:
            self._head.load_state_dict(state["head"])
        self._measured_at = state.get("measured_at", 0)
        if self.total_steps is None:
            self.total_steps = state["total_steps"]


def _without_schedule(layers: NDArray[np.float64], schedule: Sequence[float]) -> None:
    """Divide what is proportional to the learning rate by the schedule's factors `[L]`."""
    factors = np.array(schedule, dtype=np.float64)
    factors[~(np.isfinite(factors) & (factors > 0.0))] = MISSING
    layers[[UPDATE, DOT, LARGEST]] /= factors


def _fixed_rows(groups: Sequence[LayerGroup]) -> NDArray[np.float32]:
    """Return a table's rows as far as they never change; the rest is missing."""
    rows = np.full((len(ROWS), len(groups)), MISSING, dtype=np.float32)
    rows[ROW["present"]] = rows[ROW["one"]] = 1.0
    rows[ROW["is_guidance"]] = 0.0
    rows[ROW["is_head"]] = [float(g.is_head) for g in groups]
    rows[ROW["depth"]] = [g.depth for g in groups]
    for name, values in facts_by_name([p.shape for p in g.parameters] for g in groups).items():
        rows[ROW[name]] = values
    return rows
