"""Rewards for staying near the proxy."""

from __future__ import annotations

from l2o.envs.rewards.base import Outcome, Reward


class ProxyKL(Reward):
    """−KL(proxy ‖ fine-tuned) on source images, in nats."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return minus the window's mean."""
        return -after.proxy_kl


class ProxyKLChange(Reward):
    """Fall of the proxy KL since the last decision."""

    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return before − after."""
        return before.proxy_kl - after.proxy_kl
