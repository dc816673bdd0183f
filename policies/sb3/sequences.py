"""What an iteration collected, in sequences: for policies that remember."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from torch import Tensor


class SequenceBuffer(RolloutBuffer):
    """A rollout of T decisions in each of N environments, given out environment by environment.

    A minibatch is all T decisions of some environments, and the memory with which they began: a
    policy replays them in order, and gradients go back through the rollout. Where T decisions hold
    several episodes, `starts` says where the memory is empty again.

        observations = {"seen": [n, T, L, F], "starts": [n, T], "memory": [n, L, M]}
        actions, values, advantages, ... = [n * T, ...], environment after environment

    Attributes:
        memory: `[N, L, M]`, the policy's before the first decision of the rollout.
    """

    memory: Tensor

    def get(  # type: ignore[override]
        self, batch_size: int | None = None
    ) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield minibatches of `batch_size` decisions, in an order drawn anew; None: all at once.

        Raises:
            ValueError: sequences of T decisions do not fill a minibatch.
        """
        assert self.full, "a rollout must be whole before it is learned from"
        size = self.n_envs * self.buffer_size if batch_size is None else batch_size
        if size % self.buffer_size:
            raise ValueError(
                f"minibatches of {size} decisions do not hold whole sequences of "
                f"{self.buffer_size}; take a multiple of it"
            )
        order = torch.randperm(self.n_envs).numpy()
        step = size // self.buffer_size
        for first in range(0, self.n_envs, step):
            yield self._sequences(order[first : first + step])

    def _sequences(self, environments: NDArray[Any]) -> DictRolloutBufferSamples:
        def of(values: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(values[:, environments].swapaxes(0, 1))

        def flat(values: NDArray[Any]) -> Tensor:
            chosen = of(values).astype(np.float32, copy=False)
            return self.to_torch(chosen.reshape(-1, *chosen.shape[2:]))

        return DictRolloutBufferSamples(
            observations={
                "seen": self.to_torch(of(self.observations)),
                "starts": self.to_torch(of(self.episode_starts)),
                "memory": self.memory[environments],
            },
            actions=flat(self.actions),
            old_values=flat(self.values),
            old_log_prob=flat(self.log_probs),
            advantages=flat(self.advantages),
            returns=flat(self.returns),
        )
