"""A task's network as a fine-tune begins with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from l2o.envs.tasks.base import Task


def fresh_model(task: Task, seed: int) -> Any:
    """Build the task's model, with a new head drawn from `seed`, in the mode that the task says.

    Source for frozen batch norm: Chen et al., Automated Synthetic-to-Real Generalization.
    """
    model: Any = task.build_model().train(task.mode == "train")
    draw_head(model, seed)
    if task.batch_norm == "trained":
        return model
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def draw_head(model: Any, seed: int) -> None:
    """Draw a model's head anew, in place; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed the GPUs for good, and takes a millisecond.
        torch.default_generator.manual_seed(seed)
        for module in model.get_classifier().modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
