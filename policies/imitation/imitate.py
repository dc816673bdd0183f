"""Beginning with what an expert does: imitating a hand-tuned schedule, or another policy."""

from __future__ import annotations

import numpy as np
import torch

from l2o.configs.schema import TrainConfig
from l2o.envs.runtime.executor import in_order
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import LogRange
from l2o.policies.common.networks import action_range
from l2o.policies.imitation.candidates import Preferred
from l2o.policies.imitation.demonstrations import Demonstrations, decisions, sequences
from l2o.policies.imitation.fit import fit
from l2o.policies.imitation.practice import Share, play
from l2o.policies.imitation.teachers import imitation_of

Played = list[tuple[Demonstrations, Preferred | None]]


def imitate(network: LayerPolicyNetwork, config: TrainConfig) -> dict[str, float]:
    """Fit a policy network to a teacher, on fine-tunes like those that training draws.

    The teacher is a schedule at the right base LR or, with `imitation.policy`, a policy with its
    own signals, of which the pupil sees those that it has. With `imitation.candidates`, each
    fine-tune of a group tries a variant of the teacher, and what did best is taught.

    In the first half of the demonstrations the teacher acts, with noise; in the second the pupil
    does, and is told what the teacher would have done (Ross et al., A Reduction of Imitation
    Learning and Structured Prediction to No-Regret Online Learning). The loss is the mean squared
    error of actions in [-1, 1], over layers that are present. A recurrent network is fitted to
    whole episodes, with gradients through time.

    Args:
        network: changed in place.
        config: the training config, with `imitation`.

    Returns:
        Number of demonstrations, and the loss before and after.

    Raises:
        ValueError: no `imitation`, actions that are not on a log scale, or candidates that are not
            as many as a group's fine-tunes.
    """
    imitation = imitation_of(config)
    if not isinstance(action_range(config), LogRange):
        raise ValueError("imitation needs environment.multipliers={kind: log}")
    generator = torch.Generator().manual_seed(config.seed)
    shown: list[Demonstrations] = []
    losses: list[float] = []
    shares, played = _shares(config), Played()
    with choose_executor(config.placement, len(shares)) as executor:
        for part in range(2):
            if part:
                shares = [
                    each._replace(pupil=network, preferred=preferred)
                    for each, (_, preferred) in zip(shares, played, strict=True)
                ]
            played = list(in_order(executor.map(play, shares)))
            shown += [each for each, _ in played]
            seen, wanted = (sequences if network.recurrent else decisions)(shown)
            losses += fit(network, seen, wanted, imitation, generator)
    return {"demonstrations": imitation.episodes, "before": losses[0], "after": losses[-1]}


def _shares(config: TrainConfig) -> list[Share]:
    """Return what each worker plays: whole groups of environments."""
    group = config.environment.group
    groups = np.array_split(np.arange(config.environments // group), config.workers)
    episodes = imitation_of(config).episodes / 2
    return [
        Share(
            config,
            first=int(part[0]) * group,
            environments=len(part) * group,
            episodes=int(np.ceil(episodes * len(part) * group / config.environments)),
        )
        for part in groups
        if len(part)
    ]
