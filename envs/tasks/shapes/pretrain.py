"""Pretraining of this family's networks, cached on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from l2o.envs.objectives import Segmentation
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks.proxy.cache import cache_path, load_or_make
from l2o.envs.tasks.shapes.drawing import HUES, Scenery, draw_scenes
from l2o.envs.tasks.shapes.network import ShapesNetwork

_VERSION = 1
"""Raised by any change that changes the weights; old cache files then lie unused."""
_BATCH, _LEARNING_RATE = 32, 1e-2


def load_pretrained(scenery: Scenery, entropy: Sequence[int], steps: int) -> dict[str, Tensor]:
    """Return the weights of a network that tells hues apart: from the cache, or made anew.

    Args:
        scenery: of the scenes it is trained on.
        entropy: what weights and scenes are drawn from.
        steps: optimizer steps.
    """
    key = {"version": _VERSION, **asdict(scenery), "entropy": list(entropy), "steps": steps}
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    model = ShapesNetwork(len(HUES), torch.Generator().manual_seed(seed))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return load_or_make(
        cache_path("shapes", key), lambda: _pretrain(model, scenery, entropy, steps), shapes
    )


def _pretrain(
    model: ShapesNetwork, scenery: Scenery, entropy: Sequence[int], steps: int
) -> dict[str, Tensor]:
    """Train with AdamW and a one-cycle schedule; return the weights."""
    generator = np.random.default_rng([*entropy, 1])
    objective = Segmentation(len(HUES))
    with one_thread():
        optimizer = torch.optim.AdamW(model.parameters(), _LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for _ in range(steps):
            batch = draw_scenes(_BATCH, scenery, generator, by_hue=True)
            objective.loss(model(batch.images), batch.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
