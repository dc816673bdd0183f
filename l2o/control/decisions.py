"""How a controller comes to its decisions: measure the run, ask the policy, use its answer."""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.control.display import Seeing
from l2o.control.history import Decision
from l2o.deciding.policy import Policy, State
from l2o.guarding.checked_answers import ask, checked_multipliers
from l2o.guarding.fallback import unmeasured
from l2o.guarding.guard import Guard
from l2o.layers.groups import LayerGroup
from l2o.measuring.meter import Meter
from l2o.signals import MISSING, Measurement
from l2o.signals.spec import SignalSpec
from l2o.signals.table import ROW, rows_on_host, with_fields
from l2o.tensors import on_host

T = TypeVar("T")


@dataclass
class Basis:
    """What the newest decision rests on, to take it again for another reference rate.

    Attributes:
        measured: what was measured.
        state: the policy's, before it decided.
        references: the reference rate of each layer group.
    """

    measured: Measurement | None
    state: State
    references: list[float]


class Deciding(Seeing):
    """Takes decisions; under a guard, nothing that fails in one comes out.

    Attributes:
        policy: what decides; None: the caller does.
        spec: the signals of its observations.
        optimizer: the torch optimizer.
        meter: what measures the run.
    """

    policy: Policy | None
    spec: SignalSpec
    optimizer: Optimizer
    meter: Meter
    _buffers: list[Tensor]
    _basis: Basis | None = None
    _listed: tuple[tuple[LayerGroup, ...], list[Tensor]] | None = None

    @abstractmethod
    def _schedule_factors(self) -> list[float]:
        """Return each layer group's factor of the user's schedule at the newest step."""

    @property
    def observation(self) -> Tensor:
        """The newest observation `[L, F]`; before the first step, the one at the start."""
        if self._memory.observation is None:
            self._measure()
        assert self._memory.observation is not None
        return self._memory.observation

    def set_multipliers(self, multipliers: Tensor, trouble: str | None = None) -> None:
        """Use these multipliers `[L]`, of layers and guidance terms, from the next step on.

        Raises:
            ValueError: wrong shape, or a value that is negative or not finite.
        """
        self._use(checked_multipliers(multipliers, len(self.rows)), trouble)

    def _use(self, chosen: Tensor, trouble: str | None) -> None:
        self._memory.multipliers = chosen
        self._apply_guidance()
        self._guarded("the decision was not recorded", lambda: self._record(chosen, trouble))

    def _apply_guidance(self) -> None:
        if self.guidance:
            self.guidance.apply(self._memory.multipliers[len(self.groups) :])

    def _record(self, chosen: Tensor, trouble: str | None) -> None:
        factors = chosen.tolist()
        rates = tuple(map(operator.mul, self._rates_now(), factors))
        self.history.add(Decision(self.steps, tuple(factors), rates, trouble))

    def _guarded(self, what: str, function: Callable[[], T]) -> T | None:
        return function() if self.guard is None else self.guard.attempt(what, function)

    def _measure(self) -> Measurement:
        measured = self._with_guidance(_seen_whole(self._read(closes=True), self.spec))
        self._memory.observation = self.spec.encode(measured)
        return measured

    def _read(self, closes: bool) -> Measurement:
        return self.meter.measure(
            self.steps, self._factors, self.rates.references(), self._schedule_factors(), closes
        )

    def _with_guidance(self, layers: Measurement) -> Measurement:
        if not self.guidance:
            return layers
        return self.guidance.join(layers, self._memory.multipliers[len(self.groups) :])

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.groups for p in group.parameters]

    def _tensors(self) -> list[Tensor]:
        # Listed anew only for other groups: it is asked at every decision.
        if self._listed is None or self._listed[0] is not self.groups:
            self._listed = (self.groups, [*self._parameters(), *self._buffers])
        return self._listed[1]

    def _decide(self) -> None:
        """Measure, and let the policy decide; under a guard, nothing that fails here comes out."""
        state = self._memory.policy_state
        measured = self._decide_guarded(self.guard) if self.guard else self._decide_openly()
        self._basis = Basis(measured, state, self.rates.references())

    def _look(self) -> None:
        """Let the guard see, within a window, what the policy's answer does."""
        if self.guard is not None:
            self._guarded("the run could not be looked at", self._look_guarded)

    def _look_guarded(self) -> None:
        guard, before = self.guard, self._memory.multipliers
        assert guard is not None
        measured = self._with_guidance(self._read(closes=False))
        trouble = guard.check(measured, self._tensors(), self.optimizer, self.steps, closes=False)
        now = self.ranks.agree(guard.again(measured))
        if trouble is not None or not torch.equal(now, before):
            self._use(now, trouble)

    def _decide_openly(self) -> Measurement:
        measured = self._measure()
        if self.policy is not None:
            self._answer(self.policy, self.observation, self._memory.policy_state)
        return measured

    def _answer(self, policy: Policy, observation: Tensor, state: State) -> None:
        chosen = self._memory.multipliers
        try:
            chosen, self._memory.policy_state = ask(policy, observation, state)
        finally:
            # Whatever fails in one process, all use the first one's multipliers.
            agreed = self.ranks.agree(chosen)
            if agreed is not self._memory.multipliers:
                self._use(agreed, None)

    def _decide_guarded(self, guard: Guard) -> Measurement | None:
        measured, trouble = guard.measure(self._measure), None
        if measured is not None:
            trouble = guard.attempt(
                "the window could not be checked",
                lambda: guard.check(measured, self._tensors(), self.optimizer, self.steps),
            )
        if self.policy is not None:
            self._choose(guard, self.policy, measured, self._memory.policy_state, trouble)
        return measured

    def _choose(
        self,
        guard: Guard,
        policy: Policy,
        measured: Measurement | None,
        state: State,
        trouble: str | None = None,
    ) -> None:
        memory = self._memory
        known = measured or self._with_guidance(
            unmeasured(self.groups, self.steps, self.meter.total_steps, self._factors)
        )
        seen = None if measured is None else memory.observation
        chosen, memory.policy_state, failed = guard.choose(policy, seen, state, known)
        self._use(self.ranks.agree(guard.scaled(chosen, known)), trouble or failed)

    def _decide_again(self) -> None:
        """Take the newest decision again, for a reference rate that rose since.

        A policy that looks at the base LR says how large a step is to be; what it said for a
        smaller one would be too much. Others say by how much to scale whatever the rate is.
        """
        basis, policy = self._basis, self.policy
        if policy is None or "base_lr" not in policy.signals.names:
            return
        if basis is None or basis.measured is None:
            return
        references = self.rates.references()
        measured = self._rebased(basis.measured, basis.references, references)
        self._basis = Basis(measured, basis.state, references)
        self._memory.observation = self.spec.encode(measured)
        if self.guard is not None:
            self._choose(self.guard, policy, measured, basis.state)
        else:
            self._answer(policy, self.observation, basis.state)

    def _rebased(
        self, measured: Measurement, before: Sequence[float], now: Sequence[float]
    ) -> Measurement:
        """Return the measurement as it is relative to other reference rates."""
        layers = len(self.groups)
        base, multiplier = measured.base_lr.clone(), measured.multiplier.clone()
        base[:layers] = on_host(now)
        ratios = [old / new if new else 1.0 for old, new in zip(before, now, strict=True)]
        multiplier[:layers] *= on_host(ratios)
        return with_fields(measured, {"base_lr": base, "multiplier": multiplier})


def _seen_whole(measured: Measurement, spec: SignalSpec) -> Measurement:
    """Return a measurement in which a layer has both a gradient and an update, or neither.

    Policies learned where no layer has one without the other; missing alone, an update would be
    taken for one as large as the weights.
    """
    table = rows_on_host(measured)
    updates, gradients = table[ROW["update_norm"]], table[ROW["gradient_norm"]]
    # Norms: the smallest is NaN if any is.
    if not math.isnan(np.minimum.reduce(updates)) or not {"update", "gradient"} <= spec.needs:
        return measured
    alone = np.isnan(updates) & ~np.isnan(gradients)
    if not alone.any():
        return measured
    left = torch.from_numpy(np.where(alone, np.float32(MISSING), gradients))
    return with_fields(measured, {"gradient_norm": left})
