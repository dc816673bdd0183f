"""What a controller takes of memory and time in training large networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold
from l2o.benchmarks.speed.large import LARGE
from l2o.benchmarks.speed.overhead import MODES, Row, rows_of_steps
from l2o.benchmarks.speed.training import POLICY, Training, Workload
from l2o.benchmarks.studies.base import Columns
from l2o.benchmarks.studies.options import count, text
from l2o.registry import lookup

_OPTIMIZER = "AdamW, fused"


@dataclass(frozen=True)
class Held:
    """Bytes that a controller holds after two decisions, and over those of the parameters.

    Buffers of the model are not the controller's.

    Attributes:
        copy_per_weight: the copy of the weights whose updates mode `update_scale` scales.
        guard_per_weight: the guard's copy of good ones.
    """

    model: str
    mode: str
    bytes: int
    weights: int
    per_weight: float
    copy_per_weight: float
    guard_per_weight: float

    @property
    def beyond_copies(self) -> float:
        """What is neither copy, over the weights."""
        return self.per_weight - self.copy_per_weight - self.guard_per_weight


HELD: Columns = {
    "network": lambda row: row.model,
    "mode": lambda row: f"`{row.mode}`",
    "held, MiB": lambda row: f"{row.bytes / 2**20:,.1f}",
    "over the weights": lambda row: f"{row.per_weight:.4f}",
    "mode's copy": lambda row: f"{row.copy_per_weight:.4f}",
    "guard's copy": lambda row: f"{row.guard_per_weight:.4f}",
    "rest": lambda row: f"{row.beyond_copies:.4f}",
}
"""The table of memory."""


@dataclass(frozen=True)
class Costs(Measured[Row]):
    """What steps take, and what is held."""

    rows: Sequence[Row]
    memory: Sequence[Held] = ()


_ALL = ",".join(LARGE)
_Models = Annotated[str, text(f"Some of {','.join(LARGE)}.")]


@dataclass(frozen=True, kw_only=True)
class Footprint(Measurement[Row]):
    """Measure what a controller takes of memory and time in training large networks, on the CPU.

    Memory is what a controller holds after two decisions; steps are timed in pairs, in turn.
    """

    examples = ("l2o speed footprint --models resnet50,bert --json footprint.json",)
    title = "Steps"
    columns = {
        "network": lambda row: row.model,
        "mode": lambda row: f"`{row.mode}`",
        "K": lambda row: str(row.interval),
        "plain step, ms": lambda row: f"{row.step_ms:,.0f}",
        "over a plain step": lambda row: f"{row.ratio:.4f}",
        "from whole steps": lambda row: f"{row.whole_ratio:.4f}",
    }
    facts = {"policy": POLICY}
    measured = Costs
    models: _Models = _ALL
    rounds: Annotated[int, count("Pairs of steps per row.")] = 6

    @property
    def workloads(self) -> list[Workload]:
        """What is trained."""
        return [lookup("model", LARGE, name) for name in self.models.split(",")]

    def rows(self) -> Iterator[Row]:
        """Time the steps of each network."""
        for workload in self.workloads:
            rows = rows_of_steps(workload, _OPTIMIZER, self.rounds)
            yield from (row for row in rows if row.interval in (1, 10))

    def answer(self) -> Costs:
        """Measure memory and steps."""
        memory = [
            memory_added(workload, _OPTIMIZER, self.where, mode)
            for workload in self.workloads
            for mode in MODES
        ]
        rows = list(self.rows())
        return Costs(rows, list(_figures(memory, rows)), memory)

    def tables(self, answer: Measured[Row]) -> list[Table]:
        """Return memory, steps and figures."""
        assert isinstance(answer, Costs), "what `answer` returns"
        return [Table.of("Memory", answer.memory, HELD), *super().tables(answer)]


def _figures(memory: Sequence[Held], rows: Sequence[Row]) -> Iterator[Figure]:
    for mode in MODES:
        copies = "the guard's copy" + (" and its own" if mode == "update_scale" else "")
        held = max(each.beyond_copies for each in memory if each.mode == mode)
        name = f"{mode}: memory held over the weights, beyond {copies}"
        yield hold(name, held, 0.02, 0.015, at_least=False)
        for interval, must, goal in ((1, 1.05, 1.02), (10, 1.005, 1.002)):
            ratios = [row.ratio for row in rows if (row.mode, row.interval) == (mode, interval)]
            what = "a step that decides" if interval == 1 else "all steps at K = 10"
            yield hold(f"{mode}: {what} over a plain one", max(ratios), must, goal, False)
    guards = max(each.guard_per_weight for each in memory)
    # Two bytes a weight; vectors and buffers stay whole, which is some thousandths.
    yield hold("the guard's copy over the weights", guards, 0.51, 0.505, at_least=False)


def memory_added(workload: Workload, optimizer: str, device: torch.device, mode: str) -> Held:
    """Return what a controller holds after two decisions."""
    training = Training(workload, optimizer, device, mode, interval=1)
    training.steps(2)
    parameters = list(training.model.parameters())
    of_model = [t for p in parameters for t in (p, p.grad) if t is not None]
    of_model += training.model.buffers()
    theirs = {tensor.untyped_storage().data_ptr() for tensor in of_model}
    controller = training.controller
    assert controller is not None, "made for every mode"
    held = held_bytes(controller, theirs)
    copy = held_bytes(getattr(controller.mode, "_before", []), theirs)
    guards = controller.guard.nbytes if controller.guard else 0
    weights = sum(p.numel() * p.element_size() for p in parameters)
    shares = (each / weights for each in (held, copy, guards))
    return Held(workload.name, mode, held, weights, *shares)


def held_bytes(owner: object, others: set[int]) -> int:
    """Return the bytes of all tensors and arrays reachable from an object.

    Args:
        owner: a plain object; attributes, lists, tuples, dicts and sets are followed, but not into
            modules and optimizers.
        others: addresses of storages that belong to someone else.
    """
    sizes: dict[int, int] = {}
    for found in _walk(owner, set()):
        if isinstance(found, np.ndarray):
            # A view of a tensor or of another array has that one's memory.
            if found.base is None:
                sizes[found.ctypes.data] = found.nbytes
        else:
            storage = found.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(size for address, size in sizes.items() if address not in others)


def _walk(thing: object, seen: set[int]) -> Iterator[Any]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor | np.ndarray):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _walk(value, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from _walk(value, seen)
    elif not isinstance(thing, torch.nn.Module | torch.optim.Optimizer | type):
        yield from _walk(getattr(thing, "__dict__", {}), seen)
