"""Pretraining of the small networks: other shapes than the task's, kept on disk once learned."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from l2o.benchmarks.studies.harm.images import PROXY_SHAPES, SHAPES, drawn
from l2o.benchmarks.studies.harm.networks import NETWORKS, Network, images_for
from l2o.benchmarks.studies.harm.plugging import take_steps
from l2o.envs.runtime.cache_folder import cache_folder
from l2o.files.atomic import write_atomically

VERSION = 1
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
    path = cache_folder() / "hostile" / f"{name}-{VERSION}.safetensors"
    if network.pretraining and not _load(model, path):
        pretrain(network, model)
        write_atomically(path, save(model.state_dict()))
    return model


def _load(model: nn.Module, path: Path) -> bool:
    """Load what was kept; False where there is none, or a damaged one."""
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        return False
    return True


def pretrain(network: Network, model: nn.Module) -> None:
    """Teach a network the proxy's shapes in both styles."""
    parts = [drawn(style, IMAGES, seed=0, proxy=True) for style in ("flat", "cluttered")]
    images = images_for(network, torch.cat([part[0] for part in parts]))
    labels = torch.cat([part[1] for part in parts])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    schedule = OneCycleLR(optimizer, LR, total_steps=network.pretraining)

    def next_loss() -> Tensor:
        chosen = torch.randint(0, len(labels), (BATCH,))
        return cross_entropy(model(images[chosen]), labels[chosen])

    take_steps(network.pretraining, next_loss, optimizer, after=lambda step: schedule.step())
