"""A chunk from decision to decision: its steps, what is measured of them, its scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.envs.objectives.base import LOSS
from l2o.envs.stacked.chunk import Chunk
from l2o.envs.stacked.graph import Graphs, SharedMemory
from l2o.envs.stacked.measured import Measured
from l2o.envs.stacked.orders import Orders
from l2o.measures import Outputs


class Trainer:
    """Carries out orders with a chunk. Results stay on the device; nothing waits for it.

    Args:
        chunk: the networks.
        layers: rows of an observation.
        guidance: rows of guidance terms whose weights are scaled, after those of the layers.
        validate: whether the source validation loss is measured before a window's last step.
        shared: scratch memory of captured computations.

    Attributes:
        measured: what observations are made of.
        means: `[2, N]`, mean loss and proxy KL of each network's last window, inf where they went
            non-finite; NaN before the first.
    """

    def __init__(
        self,
        chunk: Chunk,
        layers: int,
        guidance: int,
        validate: bool,
        shared: SharedMemory | None = None,
    ) -> None:
        self.chunk = chunk
        self.validate = validate
        self.measured = Measured(chunk.count, layers, chunk.layout, chunk.device, guidance)
        self._length: int | None = None
        self.means = torch.full((2, chunk.count), torch.nan, device=chunk.device)
        self.graphs = Graphs(chunk.device, self._state, shared)
        self._scores: dict[str, Tensor] = {}
        self._loss_row = self.metrics("source_validation").index(LOSS)
        self._validation = self._no_scores("source_validation")

    def _state(self) -> list[Tensor]:
        return [*self.chunk.state(), *self.measured.tables(), self.means]

    @torch.no_grad()
    def begin(self, orders: Orders) -> None:
        """Measure networks that begin anew, at their start."""
        begins = orders.begins > 0
        norms = self.chunk.norms()
        layers = {
            "multiplier": torch.ones_like(orders.multipliers[:, : self.measured.rows]),
            "base_lr": orders.base_lr[:, None].expand(-1, self.measured.own),
            "start_norm": norms["weight_norm"],
            **norms,
        }
        self.measured.begin(begins, layers, _progress(orders))
        self.means.masked_fill_(begins, torch.nan)

    # Training -----------------------------------------------------------------------------------

    def train(self, orders: Orders, counts: NDArray[np.int64], whole: NDArray[np.bool_]) -> None:
        """Take each network's steps and measure it; a network without steps stays as it is.

        Args:
            orders: on the device.
            counts: `[N]`, `orders.count` as the host knows it: it says how the work is cut.
            whole: `[N]`, `orders.whole` likewise.
        """
        if self.validate:
            self._prepare("source_validation")
        lengths = set(counts[counts > 0].tolist())
        if len(lengths) == 1 and whole[counts > 0].all() and self._may_be_one(*lengths):
            # A captured window serves any that hold still; else copies only where they are needed.
            hold = self.graphs.capturing or not counts.all()
            run = partial(self._whole_window, hold, *lengths)
            self.graphs.run("window", run, orders.table)
        else:
            self._cut_window(orders, counts, whole)

    def _may_be_one(self, length: int) -> bool:
        """Whether a window of this length is one computation; of captured ones, the first is."""
        if self._length is None:
            self._length = length
        return length == self._length or not self.graphs.capturing

    def _whole_window(self, hold: bool, length: int, table: Tensor) -> None:
        orders = Orders(table)
        self._open(orders)
        held = self.chunk.copies() if hold else []
        self._to_the_end(orders.begun.long(), length, one_by_one=False)
        if hold:
            self.chunk.put_back(held, orders.count > 0)
        self._close(orders)

    def _cut_window(
        self, orders: Orders, counts: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> None:
        """Take windows of different lengths: networks hold still once theirs has ended."""
        self._open(orders)
        begun = orders.begun.long()
        taken = 0
        for until in sorted(set(counts[counts > 0].tolist())):
            held = self.chunk.copies()
            measured = whole[(counts > 0) & (counts <= taken)].any()
            last = self._last_step() if measured else None
            if whole[counts == until].any():
                self._to_the_end(begun + taken, until - taken, one_by_one=True)
            else:
                self._steps(begun + taken, until - taken, one_by_one=True)
            moving = orders.count >= until
            self.chunk.put_back(held, moving)
            if last is not None:
                self._put_back_last_step(last, moving)
            taken = until
        self._close(orders)

    def _last_step(self) -> list[Tensor]:
        """Return copies of what is measured at the end of a window."""
        return [t.clone() for t in (self.chunk.gradients, self.chunk.before, self._validation)]

    @torch.no_grad()
    def _put_back_last_step(self, copies: Sequence[Tensor], moving: Tensor) -> None:
        gradients, before, validation = copies
        self.chunk.layout.hold(self.chunk.gradients, gradients, moving)
        self.chunk.layout.hold(self.chunk.before, before, moving)
        self._validation.copy_(torch.where(moving, self._validation, validation))

    @torch.no_grad()
    def _open(self, orders: Orders) -> None:
        own, rows = self.measured.own, self.measured.rows
        self.chunk.set_rates(orders.base_lr[:, None] * orders.multipliers[:, :own])
        self.chunk.guidance.rescale(orders.multipliers[:, own:rows])
        self.chunk.begin_window()

    def _to_the_end(self, begun: Tensor, length: int, one_by_one: bool) -> None:
        """Take the last steps of a window; what is measured is noted before the very last."""
        self._steps(begun, length - 1, one_by_one)
        self.chunk.remember()
        if self.validate:
            self.chunk.evaluate("source_validation", self._validation)
        self._steps(begun + (length - 1), 1, one_by_one)

    def _steps(self, begun: Tensor, length: int, one_by_one: bool) -> None:
        """Take steps; one by one, each is a replay, where it can be captured."""
        if not one_by_one:
            self.chunk.train(begun, length)
            return
        for step in range(length):
            self.graphs.run("step", partial(self.chunk.train, length=1), begun + step)

    @torch.no_grad()
    def _close(self, orders: Orders) -> None:
        sums = torch.stack([self.chunk.loss_sum, self.chunk.kl_sum])
        means = torch.nan_to_num(sums / orders.count.to(sums), torch.inf, torch.inf, torch.inf)
        self.means.copy_(torch.where(orders.count > 0, means, self.means))
        multipliers = orders.multipliers[:, : self.measured.rows]
        whole = {"loss": means[0], "proxy_kl": means[1], **_progress(orders)}
        whole["window_progress"] = _window_progress(orders)
        if self.chunk.head is not None:
            whole |= self.chunk.head.means(orders.count)
        if self.validate:
            whole["validation_loss"] = self._validation[self._loss_row]
        layers = {"multiplier": multipliers, **self.chunk.norms(), **self.chunk.last_step()}
        self.measured.update(orders.whole > 0, layers, whole)

    # Evaluation ---------------------------------------------------------------------------------

    def evaluate(self, split: str) -> None:
        """Score all networks on a split."""
        self._prepare(split)
        evaluate = partial(self.chunk.evaluate, split, self.score_of(split))
        self.graphs.run(("evaluate", split), evaluate)

    def outputs(self, split: str, positions: Sequence[int]) -> list[Outputs]:
        """Return logits, labels and features of networks on a split, on the host."""
        self._prepare(split)
        return self.chunk.outputs(split, positions)

    def _prepare(self, split: str) -> None:
        if self.chunk.prepare(split):
            # What was captured reads where the examples no longer are.
            self.graphs.drop(("evaluate", split), "window")

    def metrics(self, split: str) -> list[str]:
        """Return the names of what is scored on a split, in the order of the scores."""
        return list(self.chunk.objective_of(split).metrics)

    def score_of(self, split: str) -> Tensor:
        """Return the newest scores on a split, `[metrics, N]`; NaN if there are none.

        It is one tensor for good, written anew by each evaluation.
        """
        if split not in self._scores:
            self._scores[split] = self._no_scores(split)
        return self._scores[split]

    def _no_scores(self, split: str) -> Tensor:
        like = self.chunk.parameters
        dtype = torch.promote_types(like.dtype, torch.float32)
        rows = len(self.metrics(split))
        return like.new_full((rows, self.chunk.count), torch.nan, dtype=dtype)


def _progress(orders: Orders) -> dict[str, Tensor]:
    return {"progress": orders.progress, "steps_left": orders.steps_left}


def _window_progress(orders: Orders) -> Tensor:
    """Return the mean progress of a window's steps, of which the last began at its end - 1."""
    middle = orders.begun + (orders.count - 1) / 2
    return orders.progress * middle / (orders.begun + orders.count).clamp_min(1.0)
