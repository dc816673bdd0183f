"""Networks in training, with and without a controller: one timed optimizer step at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from l2o.configs.schema import Options
from l2o.control.controller import LRController
from l2o.deciding.bundle import load_bundle

POLICY, TOTAL_STEPS = "asg-base", 10_000


@dataclass(frozen=True)
class Workload:
    """A network and the batches it trains on.

    Attributes:
        name: for tables.
        model: makes the network.
        batch: examples per step.
        size: of the images, in pixels.
        bf16: whether the forward pass runs in bfloat16 (autocast).
        inputs: draws the inputs of a step; None: images.
        classes: of the labels.
    """

    name: str
    model: Callable[[], nn.Module]
    batch: int
    size: int
    bf16: bool = False
    inputs: Callable[[torch.Generator], Tensor] | None = None
    classes: int = 1000

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return inputs and labels, the same each time."""
        generator = torch.Generator().manual_seed(1)
        if self.inputs is not None:
            inputs = self.inputs(generator)
        else:
            inputs = torch.randn(self.batch, 3, self.size, self.size, generator=generator)
        return inputs, torch.randint(0, self.classes, (self.batch,), generator=generator)


@dataclass(frozen=True)
class Seconds:
    """How long one step took: all of it, and the part that a controller takes part in.

    The part is `observe`, and the optimizer step with its hooks.
    """

    whole: float
    part: float


OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda held: torch.optim.SGD(held, lr=1e-4, momentum=0.9, weight_decay=5e-4),
    "AdamW, fused": lambda held: torch.optim.AdamW(held, lr=1e-5, fused=True),
}
"""Small rates: what is timed must not diverge, whatever the policy does."""


class Training:
    """One network in training.

    Args:
        workload: what is trained.
        optimizer: key of `OPTIMIZERS`.
        device: of everything.
        mode: the controller's; None trains without one.
        interval: optimizer steps per decision.
        model: the network; None makes one, the same each time.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: str,
        device: torch.device,
        mode: str | None = None,
        interval: int = 10,
        model: nn.Module | None = None,
    ) -> None:
        self.workload, self.device = workload, device
        self.model = model or make_model(workload, device)
        inputs, labels = (tensor.to(device) for tensor in workload.draw())
        if device.type == "cuda" and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.inputs, self.labels = inputs, labels
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.controller = None
        if mode is not None:
            given = (load_bundle(POLICY), self.optimizer, self.model)
            told: Options = {"total_steps": TOTAL_STEPS, "interval": interval, "mode": mode}
            self.controller = LRController(*given, **told)

    def forward(self) -> torch.Tensor:
        """Return the loss of the batch."""
        half = torch.autocast(self.device.type, torch.bfloat16)
        with half if self.workload.bf16 else contextlib.nullcontext():
            outputs = self.model(self.inputs)
            return functional.cross_entropy(getattr(outputs, "logits", outputs), self.labels)

    def step(self) -> Seconds:
        """Take one step, timed in seconds that this thread works, and nobody else.

        With one torch thread that is all of a step on the CPU, backward included.
        """
        clock = time.thread_time
        started = clock()
        loss = self.forward()
        begun = clock()
        if self.controller is not None:
            self.controller.observe(loss=loss)
        observed = clock()
        loss.backward()
        ready = clock()
        self.optimizer.step()
        stepped = clock()
        self.optimizer.zero_grad()
        return Seconds(clock() - started, observed - begun + stepped - ready)

    def steps(self, count: int) -> None:
        """Take several steps."""
        for _ in range(count):
            self.step()


def make_model(workload: Workload, device: torch.device) -> nn.Module:
    """Return the workload's network, with the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = workload.model().to(device)
    # The fast layout of convolutions on tensor cores.
    return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model
