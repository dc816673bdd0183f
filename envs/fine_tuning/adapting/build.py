"""Two stages from their configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from l2o.configs.adaptation import Adaptation as Config
from l2o.configs.schema import FineTuning, PolicyChoice
from l2o.envs.fine_tuning.adapting.rounds import Round
from l2o.envs.fine_tuning.adapting.settings import Settings, check_task
from l2o.envs.fine_tuning.adapting.stage import AdaptationStage
from l2o.envs.fine_tuning.adapting.staged import StagedFineTune
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.policy_choice import build_policy
from l2o.guarding.guard import Guard


def add_stage(
    source: FineTune,
    config: Config,
    *,
    finetuning: FineTuning,
    choice: PolicyChoice,
    base_lr: float,
    run: tuple[int, int],
    guard: bool = False,
    grouping: int | Mapping[str, str] | None = None,
    device: torch.device | None = None,
) -> StagedFineTune:
    """Return a fine-tune that goes on, after its end, with a second stage.

    Args:
        source: the first stage.
        config: of the second.
        finetuning: loop of the first stage, for what the second leaves open.
        choice: policy of the first stage, likewise.
        base_lr: base learning rate of the first stage, likewise.
        run: task seed and seed; the second one is that of the batches.
        guard: whether the controller's guard watches over it.
        grouping: of the layers.
        device: of the network; None: the config's.

    Raises:
        ValueError: the task has no unlabelled images, or the config cannot run.
    """
    check_task(source.task)
    settings = Settings.of(config, finetuning)
    if device is not None:
        settings = replace(settings, loop=replace(settings.loop, device=device))
    chosen = config.choice or choice
    rate = config.base_lr or base_lr
    policy = build_policy(chosen, settings.loop.interval, run)

    def begin(weights: Mapping[str, Tensor], on_round: Callable[[Round], None]) -> AdaptationStage:
        others: dict[str, Any] = {"grouping": grouping, "guard": Guard() if guard else None}
        return AdaptationStage(
            source.task,
            settings,
            begin_from=weights,
            seed=run[1],
            on_round=on_round,
            policy=policy,
            base_lr=rate,
            validate=chosen.early_stopping is not None,
            **others,
        )

    return StagedFineTune(source, begin, settings.steps, (base_lr, rate))
