"""A learned policy: the network, with what turns its outputs into multipliers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2o.deciding.policy import Policy, State
from l2o.intervals import Interval
from l2o.intervals.plain import as_interval
from l2o.networks.base import PolicyNetwork
from l2o.networks.multipliers import MultiplierRange
from l2o.networks.numpy_network import MOST_LAYERS, FrozenNetwork
from l2o.signals.spec import SignalSpec


class LearnedPolicy(Policy):
    """Runs a policy network; deterministic: the likeliest action.

    Args:
        network: the trained network.
        multipliers: its action range.
        signals: the spec of its observations.
        interval: optimizer steps per decision it was trained with, or a rule of them.
        guidance_actions: names of the guidance terms whose weights it scales, if any.

    Raises:
        ValueError: the network's sizes do not fit the signals or the range.
    """

    learned = True

    def __init__(
        self,
        network: PolicyNetwork,
        multipliers: MultiplierRange,
        signals: SignalSpec,
        interval: Interval | int = 10,
        guidance_actions: Sequence[str] = (),
    ) -> None:
        if network.features != len(signals):
            raise ValueError(
                f"the network takes {network.features} features, the spec gives {len(signals)}"
            )
        if network.outputs != multipliers.outputs:
            raise ValueError(
                f"the network gives {network.outputs} outputs per layer, the multiplier range "
                f"{multipliers.to_dict()} needs {multipliers.outputs}"
            )
        self.network = network.eval()
        self._frozen = FrozenNetwork(network)
        self.multipliers = multipliers
        self.signals = signals
        self.interval = as_interval(interval)
        self.keeps_interval = network.keeps_interval
        self.guidance_actions = tuple(guidance_actions)
        self.cautious = multipliers.largest > 1.0

    def initial_state(self, num_layers: int) -> State:
        """Return the zero state of a recurrent network, else nothing."""
        state = self.network.initial_state(num_layers)
        return {} if state is None else {"memory": state}

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Decide once."""
        if self._frozen.takes(observation):
            outputs = self._frozen.on_host(observation.numpy())
            return torch.from_numpy(self.multipliers.best_on_host(outputs)), {}
        with torch.no_grad():
            outputs, _, memory = self.network(observation, state.get("memory"))
        return self.multipliers.best(outputs), ({} if memory is None else {"memory": memory})

    def many(self, observations: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """Decide once for each of N runs with as many layers, in one call of the network.

        Args:
            observations: `[N, L, F]`, float32 on the CPU.
            states: of each run.

        Returns:
            Multipliers `[N, L]`, and the new states.

        Example:
            >>> from l2o.deciding.bundle import load_bundle
            >>> policy = load_bundle("asg-base")
            >>> seen = torch.zeros(5, 3, len(policy.signals))
            >>> policy.many(seen, [{}] * 5)[0].shape
            torch.Size([5, 3])
        """
        if self._frozen.takes(observations, 3):
            outputs = self._frozen.many(observations.numpy())
            return torch.from_numpy(self.multipliers.best_on_host(outputs)), [{} for _ in states]
        if observations.shape[1] > MOST_LAYERS and not any(states):
            # The work itself takes the time: nothing is won together, and bits would differ.
            alone = [self(seen, {}) for seen in observations]
            return torch.stack([chosen for chosen, _ in alone]), [state for _, state in alone]
        memories = [state["memory"] for state in states if "memory" in state]
        with torch.no_grad():
            held = torch.stack(memories) if memories else None
            outputs, _, memory = self.network(observations, held)
        kept: list[State] = [{} for _ in states]
        if memory is not None:
            # Copies: a view would keep the memory of all runs as long as one of them lives.
            kept = [{"memory": each.clone()} for each in memory]
        return self.multipliers.best(outputs), kept
