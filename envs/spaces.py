"""Gymnasium spaces of observations and actions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from l2o.multipliers import Bins, MultiplierRange
from l2o.signals.spec import SignalSpec


def observation_space(spec: SignalSpec, layers: int) -> gym.spaces.Box:
    """Return `Box [layers, F]` with each signal's own limit."""
    high = np.broadcast_to(np.asarray(spec.limits, np.float32), (layers, len(spec))).copy()
    return gym.spaces.Box(-high, high, dtype=np.float32)


def action_space(multipliers: MultiplierRange, layers: int) -> gym.Space:
    """Return `MultiDiscrete` for bins, else `Box(-1, 1, [layers])`."""
    if isinstance(multipliers, Bins):
        return gym.spaces.MultiDiscrete([multipliers.outputs] * layers)
    return gym.spaces.Box(-1.0, 1.0, (layers,), np.float32)
