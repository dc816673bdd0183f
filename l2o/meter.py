"""The meter: measures a live training run, for the environment and for deployment alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.groups import LayerGroup
from l2o.ranks import Ranks
from l2o.signals import MISSING, Measurement, Quantity
from l2o.tensors import dot, norms
from l2o.window import WindowMean

OBSERVED = ("loss", "proxy_kl")
"""Quantities whose mean over a window is measured."""


class Meter:
    """Measures layer groups and observed losses; nothing is copied to the host but once a decision.

    Norms are summed over each group on the device and cross to the host as one small tensor.
    Weights at the start are kept only when a signal needs the drift, a copy before the step only
    on steps that are measured and only when a signal needs the update.

    Args:
        groups: layer groups, input to head.
        needs: the costly quantities to measure.
        total_steps: length of the training in optimizer steps, if known.
        ranks: the processes of the run; each measures its own part of sharded parameters.
    """

    def __init__(
        self,
        groups: Sequence[LayerGroup],
        needs: frozenset[Quantity],
        total_steps: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        self.groups = tuple(groups)
        self.needs = needs
        self.total_steps = total_steps
        self._parameters: list[Tensor] = [p for g in groups for p in g.parameters]
        self._layer = torch.tensor(
            [index for index, g in enumerate(groups) for _ in g.parameters],
            device=self._parameters[0].device,
        )
        self._start = [p.detach().clone() for p in self._parameters] if "drift" in needs else []
        self._before: list[Tensor] = []
        self._windows = {name: WindowMean() for name in OBSERVED}
        self._validation_loss = (MISSING, MISSING)
        self._fixed = _fixed_fields(self.groups)
        pieces = self._pieces(self._parameters)
        self._start_norm = self.ranks.whole_norms(self._layer_norms(pieces).cpu())

    def _pieces(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [self.ranks.piece(tensor.detach()) for tensor in tensors]

    def observe(
        self,
        loss: Tensor | float | None = None,
        proxy_kl: Tensor | float | None = None,
        validation_loss: Tensor | float | None = None,
    ) -> None:
        """Take in what the training loop knows; tensors stay on their device until a decision."""
        for name, value in (("loss", loss), ("proxy_kl", proxy_kl)):
            if value is not None:
                self._windows[name].add(value)
        if validation_loss is not None:
            self._validation_loss = (float(validation_loss), self._validation_loss[0])

    def before_step(self) -> None:
        """Remember the weights, so that `measure` can tell this step's update."""
        if "update" in self.needs:
            self._before = [piece.clone() for piece in self._pieces(self._parameters)]

    @torch.no_grad()
    def measure(self, step: int, multipliers: Tensor, base_lrs: Sequence[float]) -> Measurement:
        """Measure now, after `step` optimizer steps, and begin a new window.

        With several processes a collective call: all of them measure at the same step.

        At step 0 neither gradients nor losses count: a training loop may have computed its first
        ones by then or not, and a policy must see the same either way.

        Args:
            step: optimizer steps done.
            multipliers: `[L]`, those of the window that ends here.
            base_lrs: `[L]`, the user's learning rates.
        """
        layers = self.read(gradients=step > 0)
        windows = {
            name: window.close() if step > 0 else (MISSING, MISSING)
            for name, window in self._windows.items()
        }
        progress, steps_left = self._progress(step)
        mine = Measurement(
            **self._fixed,
            multiplier=multipliers.to(torch.float32),
            base_lr=torch.tensor(base_lrs, dtype=torch.float32),
            start_norm=self._start_norm,
            **layers,
            loss=torch.tensor(windows["loss"][0]),
            previous_loss=torch.tensor(windows["loss"][1]),
            proxy_kl=torch.tensor(windows["proxy_kl"][0]),
            previous_proxy_kl=torch.tensor(windows["proxy_kl"][1]),
            validation_loss=torch.tensor(self._validation_loss[0]),
            previous_validation_loss=torch.tensor(self._validation_loss[1]),
            progress=torch.tensor(progress),
            steps_left=torch.tensor(steps_left),
        )
        measured = self.ranks.reduce(mine)
        if self.ranks.size > 1:
            for name, window in self._windows.items():
                # What all processes agree on is what a checkpoint of one of them must hold.
                window.close_with(float(getattr(measured, name)))
        return measured

    def _progress(self, step: int) -> tuple[float, float]:
        if self.total_steps is None:
            return MISSING, MISSING
        return min(step / self.total_steps, 1.0), float(max(self.total_steps - step, 0))

    def read(self, gradients: bool) -> dict[str, Tensor]:
        """Read parameters and gradients: the quantities of layers, on the host."""
        missing = torch.full((len(self.groups),), MISSING, device=self._layer.device)
        weights = self._pieces(self._parameters)
        rows = {
            "weight_norm": self._layer_norms(weights),
            "gradient_norm": missing,
            "update_norm": missing,
            "gradient_dot_update": missing,
            "drift_norm": missing,
        }
        if gradients and "gradient" in self.needs:
            rows["gradient_norm"] = self._gradient_norms(missing)
        if self._before:
            moved = torch._foreach_sub(weights, self._before)
            rows["update_norm"] = self._layer_norms(moved)
            if "gradient" in self.needs:
                rows["gradient_dot_update"] = -self._gradient_dots(moved)
            self._before = []
        if self._start:
            rows["drift_norm"] = self._layer_norms(
                torch._foreach_sub(weights, self._pieces(self._start))
            )
        on_host = torch.stack(list(rows.values())).cpu()
        return dict(zip(rows, on_host, strict=True))

    def _layer_norms(self, tensors: Sequence[Tensor]) -> Tensor:
        squares = norms(tensors, self._layer.device).square()
        return _or_inf(self._sum_per_layer(squares).sqrt())

    def _gradient_norms(self, missing: Tensor) -> Tensor:
        pairs = [(i, p.grad) for i, p in enumerate(self._parameters) if p.grad is not None]
        if not pairs:
            return missing
        held = [i for i, _ in pairs]
        gradients = self._pieces([gradient for _, gradient in pairs])
        squares = norms(gradients, self._layer.device).square()
        layer = self._layer[held]
        total = torch.zeros_like(missing).index_add_(0, layer, squares)
        count = torch.zeros_like(missing).index_add_(0, layer, torch.ones_like(squares))
        return torch.where(count > 0, _or_inf(total.sqrt()), missing)

    def _gradient_dots(self, moved: Sequence[Tensor]) -> Tensor:
        device = self._layer.device
        dots = [
            dot(self.ranks.piece(p.grad.detach()), delta, device)
            if p.grad is not None
            else torch.zeros((), device=device)
            for p, delta in zip(self._parameters, moved, strict=True)
        ]
        return self._sum_per_layer(torch.stack(dots))

    def _sum_per_layer(self, values: Tensor) -> Tensor:
        total = torch.zeros(len(self.groups), device=values.device)
        return total.index_add_(0, self._layer, values)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on bit-equal."""
        return {
            "start": [tensor.clone() for tensor in self._start],
            "start_norm": self._start_norm.clone(),
            "windows": {name: window.state_dict() for name, window in self._windows.items()},
            "validation_loss": list(self._validation_loss),
            "total_steps": self.total_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        saved = state["start"]
        if len(saved) != len(self._start) or any(
            a.shape != b.shape for a, b in zip(saved, self._start, strict=True)
        ):
            raise ValueError(
                "the checkpoint's controller watched other parameters than this one; "
                "attach the controller to the same model with the same layer groups"
            )
        for mine, theirs in zip(self._start, saved, strict=True):
            mine.copy_(theirs)
        self._start_norm = state["start_norm"].clone()
        for name, window in self._windows.items():
            window.load_state_dict(state["windows"][name])
        latest, before = state["validation_loss"]
        self._validation_loss = (latest, before)
        if self.total_steps is None:
            self.total_steps = state["total_steps"]


def _or_inf(values: Tensor) -> Tensor:
    """Return measured values with NaN as inf, since NaN stands for what was not measured."""
    return torch.nan_to_num(values, nan=float("inf"), posinf=float("inf"))


def _fixed_fields(groups: Sequence[LayerGroup]) -> dict[str, Tensor]:
    """Return the fields of a measurement that never change."""
    return {
        "present": torch.ones(len(groups)),
        "is_head": torch.tensor([float(g.is_head) for g in groups]),
        "depth": torch.tensor([g.depth for g in groups], dtype=torch.float32),
        "numel": torch.tensor([float(sum(p.numel() for p in g.parameters)) for g in groups]),
    }
