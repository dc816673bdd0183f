"""The meter: measures a live training run, for the environment and for deployment alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.groups import LayerGroup
from l2o.head_window import HeadWindow
from l2o.signals import MISSING, Measurement, Quantity
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
    """

    def __init__(
        self,
        groups: Sequence[LayerGroup],
        needs: frozenset[Quantity],
        total_steps: int | None = None,
    ) -> None:
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
        self._head = HeadWindow(self.groups) if "head" in needs else None
        self._measured_at = 0
        self._validation_loss = (MISSING, MISSING)
        self._fixed = _fixed_fields(self.groups)
        self._start_norm = self._layer_norms(self._parameters).cpu()

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

    def begin_step(self) -> None:
        """Take in what is watched at every step: the head's weights, if a signal asks for them."""
        if self._head is not None:
            self._head.add()

    def before_step(self) -> None:
        """Remember the weights, so that `measure` can tell this step's update."""
        if "update" in self.needs:
            self._before = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def measure(self, step: int, multipliers: Tensor, base_lrs: Sequence[float]) -> Measurement:
        """Measure now, after `step` optimizer steps, and begin a new window.

        At step 0 neither gradients nor losses count: a training loop may have computed its first
        ones by then or not, and a policy must see the same either way.

        Args:
            step: optimizer steps done.
            multipliers: `[L]`, those of the window that ends here.
            base_lrs: `[L]`, the user's learning rates.
        """
        layers = self._measure_layers(gradients=step > 0)
        windows = {
            name: window.close() if step > 0 else (MISSING, MISSING)
            for name, window in self._windows.items()
        }
        progress, steps_left = self._progress(step)
        head = self._close_head(step)
        window_progress = self._window_progress(step)
        return Measurement(
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
            window_progress=torch.tensor(window_progress),
            **{name: torch.tensor(value) for name, value in head.items()},
        )

    def _close_head(self, step: int) -> dict[str, float]:
        if self._head is None or step == 0:
            return {"head_mean": MISSING, "head_std": MISSING}
        return {name: window.close()[0] for name, window in self._head.windows.items()}

    def _window_progress(self, step: int) -> float:
        """Return the mean progress of the window's steps, of which the last began at step - 1."""
        first, self._measured_at = self._measured_at, step
        if self.total_steps is None:
            return MISSING
        return min(max(first + step - 1, 0) / 2 / self.total_steps, 1.0)

    def _progress(self, step: int) -> tuple[float, float]:
        if self.total_steps is None:
            return MISSING, MISSING
        return min(step / self.total_steps, 1.0), float(max(self.total_steps - step, 0))

    def _measure_layers(self, gradients: bool) -> dict[str, Tensor]:
        missing = torch.full((len(self.groups),), MISSING, device=self._layer.device)
        rows = {
            "weight_norm": self._layer_norms(self._parameters),
            "gradient_norm": missing,
            "update_norm": missing,
            "gradient_dot_update": missing,
            "drift_norm": missing,
        }
        if gradients and "gradient" in self.needs:
            rows["gradient_norm"] = self._gradient_norms(missing)
        if self._before:
            moved = torch._foreach_sub(self._parameters, self._before)
            rows["update_norm"] = self._layer_norms(moved)
            if "gradient" in self.needs:
                rows["gradient_dot_update"] = -self._gradient_dots(moved)
            self._before = []
        if self._start:
            rows["drift_norm"] = self._layer_norms(
                torch._foreach_sub(self._parameters, self._start)
            )
        on_host = torch.stack(list(rows.values())).cpu()
        return dict(zip(rows, on_host, strict=True))

    def _layer_norms(self, tensors: Sequence[Tensor]) -> Tensor:
        norms = torch.stack([n.float() for n in torch._foreach_norm(list(tensors))])
        return _or_inf(self._sum_per_layer(norms.detach().square()).sqrt())

    def _gradient_norms(self, missing: Tensor) -> Tensor:
        pairs = [(i, p.grad) for i, p in enumerate(self._parameters) if p.grad is not None]
        if not pairs:
            return missing
        held, gradients = [i for i, _ in pairs], [gradient for _, gradient in pairs]
        squares = torch.stack([n.float() for n in torch._foreach_norm(gradients)]).square()
        layer = self._layer[held]
        total = torch.zeros_like(missing).index_add_(0, layer, squares)
        count = torch.zeros_like(missing).index_add_(0, layer, torch.ones_like(squares))
        return torch.where(count > 0, _or_inf(total.sqrt()), missing)

    def _gradient_dots(self, moved: Sequence[Tensor]) -> Tensor:
        dots = [
            torch.dot(p.grad.flatten(), delta.flatten()).float()
            if p.grad is not None
            else torch.zeros((), device=delta.device)
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
            "head": self._head.state_dict() if self._head else None,
            "measured_at": self._measured_at,
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
        if self._head is not None and state.get("head") is not None:
            self._head.load_state_dict(state["head"])
        self._measured_at = state.get("measured_at", 0)
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
