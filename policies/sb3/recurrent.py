"""The layer-shared network with memory as a stable-baselines3 policy, for PPO as it is.

`RecurrentPPO` of sb3-contrib asks for an `nn.LSTM` in the policy, and stores its hidden and cell
state `[layers of the LSTM, N, hidden]` at every decision, for actor and critic each. Ours is a GRU
state for each layer group, `[N, L, 2 * hidden]`, in the very network that deployment runs. And that
algorithm is no subclass of SB3's PPO, which the learner here is written for. So PPO itself learns,
unchanged: `SequenceBuffer` gives it whole sequences, and this policy replays them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor

from l2o.policies.sb3.policy import LayerActorCriticPolicy
from l2o.policies.sb3.sequences import SequenceBuffer


class RecurrentLayerPolicy(LayerActorCriticPolicy):
    """Remembers between decisions, in each environment and for each layer; the critic does not.

    When collecting, `forward` is called once for each decision of all environments. When learning,
    `evaluate_actions` replays the sequences of a `SequenceBuffer`.

    Args:
        *args: as of `LayerActorCriticPolicy`, as are keyword arguments.

    Attributes:
        memory: `[N, L, 2 * hidden]`, that of the next decision; None before the first rollout.
    """

    memory: Tensor | None = None

    def begin(self, environments: int) -> Tensor:
        """Return the memory, made empty for so many environments if there is none as yet."""
        if self.memory is None:
            self.memory = self._empty(environments)
        return self.memory

    def forget(self, ended: NDArray[np.bool_]) -> None:
        """Empty the memory of environments `[N]` whose episodes have ended."""
        if self.memory is not None:
            self.memory = self.memory * _kept(torch.from_numpy(ended))

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decide; return actions, values and log-probabilities."""
        distribution, value, self.memory = self._decide(obs, self.memory)
        actions = self._act(distribution, obs, deterministic)
        return actions, value, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values, log-probabilities and entropies of sequences, as one flat batch each."""
        assert isinstance(obs, dict), "a recurrent policy learns from sequences"
        seen, starts, memory = obs["seen"], obs["starts"], obs["memory"]
        taken = actions.view(*seen.shape[:2], -1)
        steps = []
        for t in range(seen.shape[1]):
            distribution, value, after = self._decide(seen[:, t], memory * _kept(starts[:, t]))
            assert after is not None
            memory = after
            steps.append((value, distribution.log_prob(taken[:, t]), distribution.entropy()))
        values, chances, entropies = (torch.stack(each, dim=1) for each in zip(*steps))
        return values.flatten(0, 1), chances.flatten(), entropies.flatten()

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values `[N, 1]`, which do not depend on the memory."""
        assert isinstance(obs, Tensor)
        return self._decide(obs, self._empty(len(obs)))[1]

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Decide with a memory that the caller keeps, as stable-baselines3 has it.

        Args:
            observation: `[N, L, F]`, or `[L, F]` of one environment.
            state: what the last call returned; None: nothing is remembered.
            episode_start: `[N]`, where the memory is to be empty.
            deterministic: take the likeliest actions.
        """
        seen, many = self.obs_to_tensor(observation)
        assert isinstance(seen, Tensor)
        memory = self._empty(len(seen)) if state is None else torch.as_tensor(state[0])
        if episode_start is not None:
            memory = memory * _kept(torch.as_tensor(episode_start))
        with torch.no_grad():
            distribution, _, after = self._decide(seen, memory)
            actions = distribution.get_actions(deterministic=deterministic).numpy()
        assert after is not None
        if isinstance(self.action_space, spaces.Box):
            actions = np.clip(actions, self.action_space.low, self.action_space.high)
        return actions if many else actions[0], (after.numpy(),)

    def _empty(self, environments: int) -> Tensor:
        state = self.network.initial_state(environments, self.observation_space.shape[0])  # type: ignore[index]
        if state is None:
            raise ValueError("a recurrent policy needs a network with memory: recurrent=True")
        return state


class MemoryKeeper(BaseCallback):
    """Empties the memory where episodes end, and notes with which one a rollout began."""

    def _on_rollout_start(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        assert isinstance(buffer, SequenceBuffer)
        buffer.memory = self._policy.begin(self.model.n_envs)

    def _on_step(self) -> bool:
        self._policy.forget(self.locals["dones"])
        return True

    @property
    def _policy(self) -> RecurrentLayerPolicy:
        policy = self.model.policy
        assert isinstance(policy, RecurrentLayerPolicy)
        return policy


def _kept(ended: Tensor) -> Tensor:
    """Return `[N, 1, 1]`: what memory is multiplied by, 0 where an episode has ended."""
    return (1.0 - ended.float()).view(-1, 1, 1)
