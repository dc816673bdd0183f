"""Pretraining of the small networks: other shapes than the task's, kept on disk once learned."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from l2o.benchmarks.studies.harm.images import PROXY_SHAPES, SHAPES, drawn
from l2o.benchmarks.studies.harm.networks import NETWORKS, Network, images_for
from l2o.benchmarks.studies.harm.plugging import take_steps
from l2o.envs.runtime.cache_folder import cache_folder
from l2o.envs.tasks.proxy.cache import load_or_make

VERSION = 2
"""Of what is kept; raised when images, networks or pretraining change."""
IMAGES, BATCH, LR = 1000, 32, 1e-3


def with_new_head(name: str, seed: int) -> nn.Module:
    """Return a copy of a pretrained network, with a new head for the task's classes."""
    model: Any = copy.deepcopy(pretrained(name))
    torch.manual_seed(seed)
    if hasattr(model, "reset_classifier"):
        model.reset_classifier(len(SHAPES))
    else:
        model.head = nn.Linear(model.head.in_features, len(SHAPES))
    made: nn.Module = model
    return made


@cache
def pretrained(name: str) -> nn.Module:
    """Return a network that knows the proxy, learned once and then read from the cache."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    model = network.make(len(PROXY_SHAPES))
    if network.pretraining:
        path = cache_folder() / "hostile" / f"{name}-{VERSION}.safetensors"
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        model.load_state_dict(load_or_make(path, partial(pretrain, network, model), shapes))
    return model


def pretrain(network: Network, model: nn.Module) -> dict[str, Tensor]:
    """Teach a network the proxy's shapes in both styles; return its weights."""
    parts = [drawn(style, IMAGES, seed=0, proxy=True) for style in ("flat", "cluttered")]
    images = images_for(network, torch.cat([part[0] for part in parts]))
    labels = torch.cat([part[1] for part in parts])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    schedule = OneCycleLR(optimizer, LR, total_steps=network.pretraining)

    def next_loss() -> Tensor:
        chosen = torch.randint(0, len(labels), (BATCH,))
        return cross_entropy(model(images[chosen]), labels[chosen])

    take_steps(network.pretraining, next_loss, optimizer, after=lambda step: schedule.step())
    return model.state_dict()
