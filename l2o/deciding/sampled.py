"""A learned policy whose actions are drawn, instead of the likeliest being taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy, State
from l2o.intervals import Interval
from l2o.layers.groups import LayerGroup
from l2o.networks.multipliers import Bins
from l2o.tensors import on_host

_DECISIONS = "decisions"


class Sampled(Policy):
    """Draws each layer's factor from the policy's categorical, softmax(logits), on its own.

    So runs the policy of Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020. The
    draw depends on the seed, on the run (`for_run`) and on the number of the decision, which rides
    in the state: a run that goes on from a checkpoint draws what it would have drawn.

    Args:
        policy: a learned one that chooses among factors.
        seed: of the draws, not negative.
        run: identifies the run among those of equal settings.

    Raises:
        ValueError: the policy's factors are a continuous range, or it is not a learned one; or the
            seed is no whole number.

    Example:
        >>> from l2o.deciding.by_name import load_policy
        >>> policy = Sampled(load_policy("asg-2020"))
        >>> factors, state = policy(torch.ones(6, 7), policy.initial_state(6))
        >>> factors.shape, int(state["decisions"])
        (torch.Size([6]), 1)
    """

    learned = True

    def __init__(self, policy: Policy, seed: int = 0, run: Sequence[int] = ()) -> None:
        if not isinstance(policy, LearnedPolicy) or not isinstance(policy.multipliers, Bins):
            raise ValueError(
                f"sample draws from a learned policy's factors, and {type(policy).__name__} has "
                "none to draw from; take asg-2020 or another policy with multipliers of kind "
                "bins, or set choice.sample=false"
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed must be a whole number, not negative, got {seed!r}")
        self.policy = policy
        self.seed, self.run = seed, tuple(run)
        self.signals, self.interval = policy.signals, policy.interval
        self.guidance_actions, self.cautious = policy.guidance_actions, policy.cautious

    def __repr__(self) -> str:
        return f"Sampled({self.policy!r}, seed={self.seed}, run={self.run})"

    def for_run(self, *key: int) -> Sampled:
        """Return this policy with the draws of another run."""
        return Sampled(self.policy, self.seed, key)

    def decision_interval(self, total_steps: int | None) -> Interval:
        """Return the policy's."""
        return self.policy.decision_interval(total_steps)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse what the policy refuses."""
        self.policy.check(groups, total_steps)

    def initial_state(self, num_layers: int) -> State:
        """Return the state of the policy's network, and the number of decisions so far."""
        memory = self.policy.network.initial_state(num_layers)
        state = {} if memory is None else {"memory": memory}
        return {**state, _DECISIONS: on_host(0, torch.int64)}

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the factors drawn `[L]`, and the state one decision on."""
        with torch.no_grad():
            logits, _, memory = self.policy.network(observation, state.get("memory"))
        index = torch.multinomial(logits.softmax(dim=-1), 1, generator=self._draws(state))
        kept = {} if memory is None else {"memory": memory}
        factors = self.policy.multipliers.decode(index.squeeze(-1))
        return factors, {**kept, _DECISIONS: state[_DECISIONS] + 1}

    def _draws(self, state: State) -> torch.Generator:
        """Return the random numbers of one decision."""
        mixed = 0
        for part in (self.seed, *self.run, int(state[_DECISIONS])):
            # Odd and large, so that neighbouring seeds and decisions lie far apart.
            mixed = (mixed * 0x9E3779B97F4A7C15 + part + 1) % 2**63
        return torch.Generator().manual_seed(mixed)
