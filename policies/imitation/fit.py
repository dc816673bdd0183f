"""Fitting a policy network to demonstrations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from l2o.configs.schema import Imitation
from l2o.networks.layer_shared import LayerPolicyNetwork


def fit(
    network: LayerPolicyNetwork,
    seen: Tensor,
    wanted: Tensor,
    imitation: Imitation,
    generator: torch.Generator,
) -> list[float]:
    """Fit a network by Adam to the mean squared error, over layers that are present.

    Args:
        network: changed in place.
        seen: decisions `[M, L, F]`; of a recurrent network, sequences of them `[M, T, L, F]`.
        wanted: actions in [-1, 1], `[M, L]` or `[M, T, L]`.
        imitation: passes and learning rate.
        generator: draws the minibatches.

    Returns:
        The mean loss of each pass.
    """
    size = max(1, 256 // (seen.shape[1] if network.recurrent else 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=imitation.learning_rate)
    passes = []
    for _ in range(imitation.epochs):
        losses = []
        for rows in torch.randperm(len(seen), generator=generator).split(size):
            chosen = seen[rows]
            present = chosen[..., 0]
            error = (answers(network, chosen) - wanted[rows]).square() * present
            loss = error.sum() / present.sum().clamp_min(1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        passes.append(float(np.mean(losses)))
    return passes


def answers(network: LayerPolicyNetwork, seen: Tensor) -> Tensor:
    """Return actions `[M, L]` of decisions; of a recurrent network, `[M, T, L]` of sequences."""
    if not network.recurrent:
        outputs, _, _ = network(seen)
        return outputs.squeeze(-1)
    state, actions = network.initial_state(seen.shape[0], seen.shape[2]), []
    for t in range(seen.shape[1]):
        outputs, _, state = network(seen[:, t], state)
        actions.append(outputs.squeeze(-1))
    return torch.stack(actions, dim=1)
