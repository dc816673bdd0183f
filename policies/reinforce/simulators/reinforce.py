"""REINFORCE with a moving baseline over a simulator's parameters."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2o.checks import check_number
from l2o.envs.simulators.distributions import PointDistribution
from l2o.policies.reinforce.simulators.base import Search, Try, check_batch


class Reinforce(Search):
    """Learning to Simulate (Ruiz, Schulter and Chandraker, ICLR 2019).

        psi_k ~ π_ω,  k = 1 ... K;   R_k: accuracy on real validation images, trained on D(psi_k)
        ω ← ω + mean_k (R_k − b) ∇_ω log π_ω(psi_k),   b ← β b + (1 − β) mean_k R_k

    π is a product of Gaussians over the numbers that stand for a distribution
    (`l2o.envs.simulators.learning.actions`); a choice is the logit of its weight among them. The
    baseline begins at the first batch's mean, and is moved after the step. The step is Adam's, so
    only the sign and the relative size of gradients matter.

    Args:
        batch: K.
        learning_rate: of the means; of the log standard deviations a tenth.
        std: initial standard deviation, of numbers in [-1, 1].
        smallest_std: it does not fall below it.
        baseline: β.
        **given: as `Search` takes them.

    Raises:
        ValueError: values out of range.
    """

    def __init__(
        self,
        *,
        batch: int = 8,
        learning_rate: float = 0.1,
        std: float = 0.5,
        smallest_std: float = 0.05,
        baseline: float = 0.8,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.batch = check_batch(batch, self.budget)
        check_number("search.options.learning_rate", learning_rate, above=True)
        check_number("search.options.std", std, above=True)
        check_number("search.options.smallest_std", smallest_std, 0.0, std)
        check_number("search.options.baseline", baseline, 0.0, 1.0)
        self.smallest, self.momentum = smallest_std, baseline
        self.mean = nn.Parameter(torch.from_numpy(self.first.copy()))
        self.log_std = nn.Parameter(torch.full_like(self.mean, float(np.log(std))))
        self.optimizer = torch.optim.Adam(
            [
                {"params": [self.mean], "lr": learning_rate},
                {"params": [self.log_std], "lr": learning_rate / 10},
            ]
        )
        self.baseline: float | None = None
        self.generator = torch.Generator().manual_seed(self.seed)

    def iterate(self, try_: Try, count: int) -> dict[str, float]:
        """Draw, try, and take one gradient step."""
        with torch.no_grad():
            noise = torch.randn(
                count, len(self.mean), generator=self.generator, dtype=self.mean.dtype
            )
            drawn = self.mean + self.log_std.exp() * noise
        rewards = torch.from_numpy(self.try_vectors(try_, drawn.numpy()).rewards)
        mean = float(rewards.mean())
        baseline = mean if self.baseline is None else self.baseline
        objective = ((rewards - baseline) * self.log_prob(drawn)).mean()
        self.optimizer.zero_grad()
        (-objective).backward()
        self.optimizer.step()
        with torch.no_grad():
            # Outside, an action is clipped: a mean there would learn nothing any more.
            self.mean.clamp_(-1.0, 1.0)
            self.log_std.clamp_(min=float(np.log(self.smallest)))
        self.baseline = self.momentum * baseline + (1.0 - self.momentum) * mean
        return {"baseline": baseline, "std": float(self.log_std.detach().exp().mean())}

    def log_prob(self, drawn: Tensor) -> Tensor:
        """Return log π of vectors `[K, width]`, `[K]`."""
        return torch.distributions.Normal(self.mean, self.log_std.exp()).log_prob(drawn).sum(dim=1)

    def distribution(self) -> PointDistribution:
        """Return the distribution at the means."""
        return self.actions.distribution(self.mean.detach().numpy())

    def state_dict(self) -> dict[str, Any]:
        """Return means, deviations, optimizer, baseline and random state."""
        return {
            "mean": self.mean.detach().clone(),
            "log_std": self.log_std.detach().clone(),
            # A copy: Adam moves its own averages in place.
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "baseline": self.baseline,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on."""
        self.mean.data.copy_(state["mean"])
        self.log_std.data.copy_(state["log_std"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
        self.generator.set_state(state["generator"])
