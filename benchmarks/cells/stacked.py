"""Cells of a benchmark as stacked fine-tunes: a slot for each, filled anew as they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from l2o.benchmarks.cells.cell import (
    Cell,
    Curve,
    failed,
    learning_rates,
    load_family,
    load_task,
    measured_record,
    run_cell,
    stops,
)
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.scores_by_name import ON_THE_WAY, PROXY, score_stacked
from l2o.benchmarks.cells.stackable import guidance_actions, guidance_weights
from l2o.deciding.policy import Policy
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.envs.objectives import Objective
from l2o.envs.policy_choice import build_policy
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.memory import free_memory, predict_memory
from l2o.envs.stacked.policies import SlotPolicies
from l2o.layers.groups import group_layers
from l2o.measures import Outputs
from l2o.signals.spec import SignalSpec

CPU_CHUNKS, LARGEST = 2, 256
"""Fine-tunes at once: so many full chunks on CPU; elsewhere, at most so many."""

_SHARE = 0.8
"""Of the free memory, what may be planned with."""

Take = Callable[[int], list[Cell]]
"""Gives up to so many cells; none when there are no more."""


@dataclass(frozen=True)
class Note:
    """Something to tell the user once, between records."""

    text: str


@dataclass
class _Run:
    """A cell under way."""

    cell: Cell
    policy: Policy
    task: Any
    base_lr: float
    curve: Curve = field(default_factory=lambda: Curve([]))
    groups: tuple[str, ...] = ()
    decisions: list[tuple[int, list[float]]] = field(default_factory=list)
    seconds: float = 0.0


class StackedCells:
    """Runs cells of one `stack_key` in slots of one `StackedFineTune`, a policy for each slot.

    A cell's record is what `run_cell` gives, up to rounding. Slots of cells that have ended are
    filled at moments when all others are evaluated, too, so that evaluations stay shared. A cell
    that fails is recorded; should the stack itself fail, its cells are run one by one.

    Args:
        like: one of the cells.
        signals: has the signals of every cell's policy.
        slots: cells at once; None takes what suits the device and fits its memory.
        sharing: processes that the memory is shared with, this one included.
    """

    def __init__(
        self, like: Cell, signals: SignalSpec, slots: int | None = None, sharing: int = 1
    ) -> None:
        self.like = like
        self.signals = signals
        self.slots = slots or choose_slots(like, signals, sharing)
        self._runs: dict[int, _Run] = {}
        self._make_stack()

    def _make_stack(self) -> None:
        self._stack = make_stack(self.like, self.signals, self.slots)
        self._policies = SlotPolicies(self.signals, self._stack.layers)
        self._multipliers = torch.ones(self.slots, self._stack.layers, dtype=torch.float64)
        self._clock = 0
        self._mark = time.perf_counter()

    def run(self, take: Take) -> Iterator[Record | Note]:
        """Run cells until there are no more, and yield their records as they end."""
        while True:
            cells = take(self.slots - len(self._runs)) if self._may_begin() else []
            if not cells and not self._runs:
                return
            try:
                yield from self._begin(cells)
                yield from self._advance()
            except Exception as error:
                yield from self._one_by_one(list(self._runs.values()), error)
                self._runs.clear()
                self._make_stack()

    def _may_begin(self) -> bool:
        """Whether slots may be filled: what begins now is evaluated when the others are."""
        if not self._runs:
            self._clock = 0
            return True
        if len(self._runs) == self.slots:
            return False
        periods = {period(run.curve.stops) for run in self._runs.values()}
        return all(length is not None and self._clock % length == 0 for length in periods)

    def _one_by_one(self, runs: Iterable[_Run], error: Exception) -> Iterator[Record | Note]:
        yield Note(f"stacked fine-tunes failed, so run one by one: {type(error).__name__}: {error}")
        for run in runs:
            yield run_cell(run.cell)

    # Beginning ----------------------------------------------------------------------------------

    def _begin(self, cells: Iterable[Cell]) -> Iterator[Record | Note]:
        """Fill slots; yield the records of cells that fail at that."""
        free = (slot for slot in range(self.slots) if slot not in self._runs)
        begun: dict[int, _Run] = {}
        for cell in cells:
            try:
                run = _prepare(cell)
            except Exception as error:
                yield failed(cell, error)
                continue
            begun[next(free)] = run
        if not begun:
            return
        try:
            self._stack.reset({slot: _start(run) for slot, run in begun.items()})
        except Exception as error:
            yield from self._one_by_one(begun.values(), error)
            return
        for slot, run in begun.items():
            self._runs[slot] = run
            try:
                self._put_under_policy(slot, run)
            except Exception as error:
                yield self._fail(slot, error)
        yield from self._decide([slot for slot in begun if slot in self._runs])

    def _put_under_policy(self, slot: int, run: _Run) -> None:
        start = self._stack.starts[slot]
        run.groups = start.layout.groups
        run.curve = Curve(stops(start.steps, run.cell.evaluations, self._stack.interval))
        run.policy = run.policy.of_length(start.steps)
        run.policy.check(
            group_layers(start.model, head=start.model.get_classifier()), total_steps=start.steps
        )
        rows = len(run.groups) + len(self._stack.guidance_actions)
        self._policies.begin(slot, run.policy, rows)

    # Going on -----------------------------------------------------------------------------------

    def _advance(self) -> Iterator[Record]:
        """Train to the next decision; evaluate what is due, and yield the records of what ends."""
        moving = [slot for slot, run in self._runs.items() if not run.curve.due]
        if moving:
            yield from self._train(moving)
        due = [slot for slot, run in self._runs.items() if run.curve.due]
        # A run that diverges stands still until others are evaluated, too.
        if any(not self._runs[slot].curve.diverged for slot in due) or len(due) == len(self._runs):
            yield from self._evaluate(due)

    def _train(self, slots: list[int]) -> Iterator[Record]:
        """Train one window and decide; yield the records of cells whose policy fails."""
        only = np.zeros(self.slots, np.bool_)
        only[slots] = True
        before, windows = self._stack.step.copy(), self._stack.windows
        self._stack.set_multipliers(self._multipliers)
        self._stack.advance(only)
        taken = (self._stack.step - before).tolist()
        self._clock += int(windows[slots].max())
        kls = self._stack.last_proxy_kl.tolist()
        for slot in slots:
            self._runs[slot].curve.advance(taken[slot], kls[slot], self._stack.diverged[slot])
        whole = [slot for slot in slots if taken[slot] == windows[slot]]
        yield from self._decide(whole)
        self._charge()

    def _decide(self, slots: list[int]) -> Iterator[Record]:
        """Choose multipliers; yield the records of cells whose policy fails."""
        for slot, chosen in self._policies.decide(self._stack.observation, slots).items():
            if isinstance(chosen, Exception):
                yield self._fail(slot, chosen)
                continue
            self._multipliers[slot, : len(chosen)] = chosen.double()
            run = self._runs[slot]
            run.decisions.append((run.curve.step, chosen.tolist()))

    def _fail(self, slot: int, error: Exception) -> Record:
        return failed(self._runs.pop(slot).cell, error)

    def _evaluate(self, due: list[int]) -> Iterator[Record]:
        """Measure cells; yield the records of those that have ended."""
        scores = score_stacked(self._stack, ON_THE_WAY, due)
        for slot in due:
            self._runs[slot].curve.add({split: scores[split][slot] for split in ON_THE_WAY})
        ended = [slot for slot in due if self._runs[slot].curve.complete]
        kept = score_stacked(self._stack, [PROXY], ended)
        outputs = self._stack.outputs("target_test", ended)
        self._charge()
        for slot in ended:
            objective = self._stack.starts[slot].objective
            yield _record(self._runs.pop(slot), kept[PROXY][slot], outputs[slot], objective)

    def _charge(self) -> None:
        """Share the time since the last call out among the cells under way."""
        now = time.perf_counter()
        for run in self._runs.values():
            run.seconds += (now - self._mark) / len(self._runs)
        self._mark = now


def make_stack(like: Cell, signals: SignalSpec, slots: int) -> StackedFineTune:
    """Return stacked fine-tunes for cells like this one."""
    actions = guidance_actions(like)
    return StackedFineTune(
        like.finetuning,
        slots,
        load_family(like.task.model_dump_json()).max_layers + len(actions),
        validate=like.validates,
        signals=signals,
        guidance_actions=actions,
        precision=like.precision,
    )


def choose_slots(like: Cell, signals: SignalSpec, sharing: int = 1) -> int:
    """Return how many cells to run at once: what suits the device, and fits its memory."""
    stack = make_stack(like, signals, LARGEST)
    wanted = CPU_CHUNKS * stack.chunk if stack.device.type == "cpu" else LARGEST
    try:
        need = predict_memory(_start(_prepare(like)), stack, (*ON_THE_WAY, PROXY))
    except Exception:  # a cell that fails says so when it is run
        return wanted
    memory = int(_SHARE * free_memory(stack.device) / sharing)
    return max(1, min(wanted, need.largest(memory, min(wanted, stack.chunk))))


def period(stops: list[int]) -> int | None:
    """Return the distance of evenly spread evaluations, None if they are not.

    Example:
        >>> period([30, 60, 90]), period([30, 50, 80])
        (30, None)
    """
    even = all(stop == stops[0] * number for number, stop in enumerate(stops, 1))
    return stops[0] if even else None


def _prepare(cell: Cell) -> _Run:
    task = load_task(cell.task.model_dump_json(), cell.task_seed)
    base_lr = cell.rate(task.base_lr)
    return _Run(cell, _policy(cell), task, base_lr)


def _policy(cell: Cell) -> Policy:
    """Make a cell's policy; learned ones are shared, so that they decide together."""
    if cell.choice.policy is None or ":" in cell.choice.policy:
        return build_policy(cell.choice, decision_interval(cell.finetuning), cell.run)
    return _learned(cell.choice.policy, cell.fingerprint)


@lru_cache(maxsize=16)
def _learned(source: str, fingerprint: str) -> Policy:
    from l2o.deciding.by_name import load_policy

    del fingerprint  # of a bundle that is written anew another one is loaded
    return load_policy(source)


def _start(run: _Run) -> Start:
    return Start(run.task, run.cell.seed, run.base_lr, guidance_weights=guidance_weights(run.cell))


def _record(run: _Run, proxy: dict[str, float], outputs: Outputs, objective: Objective) -> Record:
    return measured_record(
        run.cell,
        run.curve,
        proxy,
        outputs,
        objective,
        steps=run.curve.stops[-1],
        seconds=run.seconds,
        learning_rates=learning_rates(
            run.groups, run.decisions, run.base_lr, guidance_actions(run.cell)
        ),
    )
