"""What a controller does around a step: rates in, rates back, and the decision when it is due."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from l2o.control.decisions import Deciding
from l2o.control.layout import Layout
from l2o.control.skips import Skips
from l2o.intervals import Windows
from l2o.modes import Mode

NEGLIGIBLE = 1e-3
"""Factor of a schedule below which steps are too small to be judged: no decision is taken."""


class Stepping(Deciding):
    """Lets multipliers act on each step, counts those that train, and decides at windows' ends.

    Attributes:
        schedule: "compose" or "override": what the user's LR schedule does to a policy's rates.
        layout: the layer groups of what the optimizer trains now.
    """

    schedule: str
    layout: Layout
    mode: Mode
    _windows: Windows
    _skips: Skips
    _begun: bool
    _risen: bool
    _unstepped: int

    @abstractmethod
    def _regroup(self) -> None:
        """Go over to the layer groups that `layout` has now."""

    @abstractmethod
    def _renew_meter(self) -> None:
        """Measure parameters anew that have another shape now, as after `p.data = larger`."""

    def _begin_step(self) -> None:
        self._abandon()
        self._risen |= self.rates.read()
        if self.layout.update():
            self._regroup()
        self._begin_deciding()

    def _begin_deciding(self) -> None:
        # Of a step at rate 0 nothing can be learned, and what it is the start of is not known yet.
        if self._begun or self.steps or self.rates.dormant:
            return
        if self.policy is not None or self._memory.observation is None:
            self._guarded("the parameters' shapes cannot be read", self._follow_shapes)
            self._decide()
        # Only now: a decision that was interrupted is taken at the next step.
        self._begun, self._risen = True, False

    def _apply(self) -> None:
        self._follow_rates()
        if self.meter.watching:
            self._guarded("the head cannot be measured", self.meter.begin_step)
        if self._windows.ends_at(self.steps + 1) or self._looks_after(self.steps + 1):
            self._guarded("the update cannot be measured", self._prepare_measuring)
        self._use_rates()

    def _follow_shapes(self) -> None:
        if not self.meter.fits():
            self._renew_meter()

    def _prepare_measuring(self) -> None:
        if not self.meter.before_step():
            self._renew_meter()
            self.meter.before_step()

    def _follow_rates(self) -> None:
        """Take note of the rates as the user has set them by now."""
        self._risen |= self.rates.read()
        self._begin_deciding()
        if self._risen:
            self._decide_again()
            self._risen = False

    def _use_rates(self) -> None:
        self._hold_rates()
        self.mode.before_step(self._factors)

    def _hold_rates(self) -> None:
        self.rates.hold()
        if self._overrides:
            self.rates.take_over()

    def _end_closure(self) -> None:
        self._follow_rates()
        self._hold_rates()
        self.mode.end_closure(self._factors)

    def _begin_closure(self) -> None:
        self.mode.begin_closure()
        self.rates.give_back()

    def _abandon(self) -> None:
        self.mode.abandon_step()
        self.rates.give_back()

    @property
    def _overrides(self) -> bool:
        """Whether the user's schedule does nothing; it does once the guard has handed over."""
        return self.schedule == "override" and not (self.guard and self.guard.handed_over)

    def _schedule_factors(self) -> list[float]:
        return [1.0] * len(self.groups) if self._overrides else self.rates.factors()

    def _rates_now(self) -> list[float]:
        self._risen |= self.rates.read()
        return self.rates.references() if self._overrides else self.rates.currents()

    def _finish(self, found_inf: Tensor | None) -> None:
        self.mode.after_step()
        self.rates.give_back()
        self._unstepped = 0
        if self.rates.dormant:
            return
        self._memory.steps += 1
        if found_inf is not None:
            self._skips.add(found_inf)
        # A skipped step was counted: the decision waits for the steps that make up for it.
        ends = self._windows.ends_at(self.steps)
        if not (ends or self._looks_after(self.steps)) or self._settle_skips():
            return
        if self._judgeable():
            anew = ends or (self.guard is not None and self.guard.asks_early)
            self._decide() if anew else self._look()

    def _looks_after(self, step: int) -> bool:
        """Whether the guard looks at what the policy's first answer does, after so many steps."""
        return self.guard is not None and self.guard.looks and self._windows.is_early(step)

    def _judgeable(self) -> bool:
        """Whether the schedule lets steps be as large as it takes to tell what they do."""
        return max(self._schedule_factors()) >= NEGLIGIBLE

    def _settle_skips(self) -> int:
        skipped = self._skips.take()
        self._memory.steps -= skipped
        return skipped
