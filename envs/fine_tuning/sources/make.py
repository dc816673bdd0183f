"""From what a config asks for to how several sources are mixed, and the proxy rehearsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.fine_tuning.sources.batch_norm import SourcedForward, SourceNorm
from l2o.envs.fine_tuning.sources.mix import LEARNED, SourceMix
from l2o.envs.fine_tuning.sources.rehearsal import Rehearsal
from l2o.envs.tasks.base import Task


def mix_of(loop: InnerLoop, task: Task, steps: int, seed: int) -> SourceMix | None:
    """Return how batches are mixed; None: every image has the same chance.

    Raises:
        ValueError: weights of a task with one source, or of sources that it does not have; or
            learned ones with batches in parts.
    """
    if loop.source_weights == "size":
        return None
    if task.source_of is None:
        raise ValueError(
            f"source_weights={loop.source_weights!r}, but task {task.name!r} has one source; leave "
            "them out, or take a task with several, such as domains with source=[a, b]"
        )
    if loop.source_weights == LEARNED and loop.compute.accumulate > 1:
        raise ValueError(
            "source_weights=learned reads the losses of whole batches; set accumulate=1"
        )
    return SourceMix(
        task.source_of, task.sources, loop.source_weights, task.batch_size, steps, seed
    )


def sourced(
    loop: InnerLoop, task: Task, model: nn.Module, forward: Callable[[Tensor], Any]
) -> SourcedForward | None:
    """Return a forward pass with batch norm by source; None: statistics are of all together.

    Raises:
        ValueError: a task with one source, batch norm that is not trained, or a compiled network.
    """
    if not loop.source_norm:
        return None
    if task.source_of is None:
        raise ValueError(
            f"source_norm=true, but task {task.name!r} has one source; leave it out, or take a "
            "task with several, such as domains with source=[a, b]"
        )
    if task.batch_norm != "trained":
        raise ValueError(
            f"source_norm=true, but batch norm of task {task.name!r} is frozen: no source has "
            "statistics then; set task.options.batch_norm=trained"
        )
    if loop.compute.compile:
        raise ValueError(
            "source_norm=true tells the network whose each image is; set compile=false"
        )
    return SourcedForward(forward, SourceNorm(model, len(task.sources)), task.source_of)


def rehearsal_of(loop: InnerLoop, task: Task, proxy_head: nn.Module, seed: int) -> Rehearsal | None:
    """Return what is rehearsed; None: nothing is.

    Raises:
        ValueError: the task has no labelled images of the proxy, or batches come in parts.
    """
    if not loop.rehearsal:
        return None
    if task.proxy_train is None:
        raise ValueError(
            f"rehearsal={loop.rehearsal}, but task {task.name!r} has no labelled images of its "
            "proxy (Task.proxy_train); set rehearsal=0"
        )
    if loop.compute.accumulate > 1:
        raise ValueError("rehearsal takes a batch in each step; set accumulate=1")
    return Rehearsal(
        task.proxy_train,
        loop.rehearsal,
        proxy_head,
        task.build_objectives()[1],
        task.batch_size,
        seed,
        loop.device,
        task.loading,
    )
