"""Faults to inject: policies and signals that fail on demand; `faults:NAME` is signal NAME's."""

from __future__ import annotations

import torch

from l2o.deciding.policy import Policy
from l2o.signals import SIGNALS
from l2o.signals.spec import SignalSpec


class Wave(Policy):
    """A policy whose multipliers depend on every signal and on its own memory."""

    interval = 2

    def __init__(self, signals: SignalSpec | None = None) -> None:
        self.signals = signals or SignalSpec(tuple(SIGNALS))

    def initial_state(self, num_layers):
        return {"phase": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        phase = state["phase"] + 0.3 + 0.1 * observation.mean(dim=-1)
        return 0.6 + 0.4 * phase.sin(), {"phase": phase}


class Failing(Wave):
    """Does `fault(observation, state)` instead of deciding, from decision `at` to `until`."""

    def __init__(self, fault, at, until=10**9, signals=None):
        super().__init__(signals)
        self.fault, self.at, self.until, self.calls = fault, at, until, 0

    def __call__(self, observation, state):
        self.calls += 1
        answer = super().__call__(observation, state)
        if self.at < self.calls <= self.until:
            return self.fault(*answer)
        return answer


class Handover(Wave):
    """The run to compare with: `fallback` decides from `at` to `until`; None keeps the last."""

    def __init__(self, fallback, at, until=10**9):
        super().__init__()
        self.fallback, self.at, self.until, self.calls = fallback, at, until, 0
        self.last = torch.ones(3)

    def __call__(self, observation, state):
        self.calls += 1
        if not self.at < self.calls <= self.until:
            self.last, state = super().__call__(observation, state)
        elif self.fallback is not None:
            columns = [self.signals.index(name) for name in self.fallback.signals.names]
            self.last, _ = self.fallback(observation[:, columns], {})
        return self.last, state


class Armed:
    """How a signal fails, and from which decision on; None: it works."""

    fault = None
    at = 0
    calls = 0


def __getattr__(name: str) -> type:
    if name not in SIGNALS:
        raise AttributeError(name)
    kind = SIGNALS[name]

    def compute(self, measured):
        Armed.calls += 1
        value = kind.compute(self, measured)
        return value if Armed.fault is None or Armed.calls <= Armed.at else Armed.fault(value)

    return type(f"Faulty{kind.__name__}", (kind,), {"compute": compute})


def spec_with(name: str) -> SignalSpec:
    """Return all signals, one of them under the control of `Armed`."""
    return SignalSpec(tuple(f"faults:{n}" if n == name else n for n in SIGNALS))
