"""Learning to simulate: distributions as actions, train-and-validate as episodes."""

from l2o.envs.simulators.learning.actions import ACTIONS, Actions, Points, Ranges, Shares

__all__ = ["ACTIONS", "Actions", "Points", "Ranges", "Shares"]
