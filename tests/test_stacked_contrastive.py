"""Contrastive guidance of stacked fine-tunes equals that of single ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from test_stacked import LAYERS, ROWS, advance, assert_equal, assert_scores_equal, in_double, pair
from tiny import TinyFamily, TinyNetwork
from torch import Tensor, nn

from l2o.configs.schema import FineTuning
from l2o.envs.finetuning import FineTune
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.tasks import Task


class Shaken:
    """An augmentation of any input: noise from torch's global random numbers."""

    def __call__(self, images: Tensor) -> Tensor:
        return images + 0.3 * torch.randn(images.shape).to(images)


def config(guidance: dict[str, Any], **rest: Any) -> FineTuning:
    return FineTuning.model_validate({"guidance": guidance, "interval": 4, **rest})


def contrastive(**options: Any) -> dict[str, Any]:
    augment = f"{__name__}:Shaken"
    given = {"layers": ["first", "second"], "weight": 0.5, "queue": 20, "dim": 6, "views": 3}
    return {"contrastive": {**given, "augment": None, **options}}


def assert_guidance_equal(runs: StackedFineTune, singles: list[FineTune], tolerance: float) -> None:
    """MLPs, too; queues but for their order."""
    for number, single in enumerate(singles):
        trainer, at = runs._placement.where[number]
        term = next(t for t in trainer.chunk.guidance.terms if t.leaves)
        theirs = next(t for t in single.guidance if list(t.parameters()))
        if single.diverged:
            continue
        for mine, wanted in zip(term.leaves, theirs.parameters(), strict=True):
            torch.testing.assert_close(mine[at], wanted, atol=tolerance, rtol=tolerance)
        for queue, network in zip(term.queues, theirs.networks, strict=True):
            network.settle()
            assert min(int(queue.taken[at]), len(network.queue)) == network.held
            torch.testing.assert_close(
                queue.keys[at, : network.held],
                network.queue[: network.held],
                atol=tolerance,
                rtol=tolerance,
            )


@pytest.mark.parametrize("substitute", [True, False])
def test_equals_single_runs(substitute: bool) -> None:
    starts = [
        Start(in_double(TinyFamily(steps=steps, examples=size).sample(steps)), steps, 0.03)
        for steps, size in ((9, 40), (13, 33))
    ]
    runs, singles = pair(starts, config(contrastive()), substitute=substitute)
    while not runs.done.all():
        advance(runs, singles, torch.full((2, LAYERS), 0.8))
        assert_equal(runs, singles, 1e-9)
        assert_guidance_equal(runs, singles, 1e-9)
    assert_scores_equal(runs, singles, 1e-9)
