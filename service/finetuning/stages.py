"""A second stage of `l2o finetune`: built from the config, its pseudo-labels exported."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch

from l2o.benchmarks.cells.two_stages import stage_stops
from l2o.configs.finetune import FinetuneConfig
from l2o.envs.fine_tuning.adapting.build import add_stage
from l2o.envs.fine_tuning.adapting.rounds import Round
from l2o.envs.fine_tuning.adapting.settings import Settings
from l2o.envs.fine_tuning.adapting.staged import STAGES, Run, StagedFineTune
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.policy_choice import build_policy
from l2o.files.atomic import write_atomically
from l2o.guidance.rows import GuidanceRows
from l2o.service.finetuning.tested import file_names

LABELS = "pseudo_labels"
"""Folder of the pseudo-labels of each round."""


def check_stage(config: FinetuneConfig) -> None:
    """Refuse a second stage that cannot run, before any work.

    Raises:
        ValueError: unknown names or impossible values.
    """
    if config.adaptation is None:
        return
    settings = Settings.of(config.adaptation, config.finetuning)
    policy = build_policy(config.adaptation.choice or config.choice)
    GuidanceRows.of(settings.loop.guidance, policy)


def with_stage(
    first: FineTune, config: FinetuneConfig, base_lr: float, out: Path | None
) -> StagedFineTune:
    """Return a fine-tune with the config's second stage, which writes each round's labels.

    Args:
        first: the first stage.
        config: of both, in full.
        base_lr: of the first.
        out: the run's folder; None: nothing is written.
    """
    assert config.adaptation is not None
    run = add_stage(
        first,
        config.adaptation,
        finetuning=config.finetuning,
        choice=config.choice,
        base_lr=base_lr,
        run=(config.task_seed, config.seed),
        guard=config.guard,
        grouping=config.groups,
        device=first.device,
    )
    if out is not None:
        folder = out

        def write(found: Round) -> None:
            export(found, first.task, folder)

        run.on_round = write
    return run


def stops_of(run: StagedFineTune, evaluations: int) -> list[int]:
    """Return the steps at which both stages are scored."""
    return stage_stops(run.lengths, evaluations, run.interval)


def stages_of(run: Run) -> dict[str, int] | None:
    """Return the first step of each stage, None of a fine-tune that has one."""
    if not isinstance(run, StagedFineTune):
        return None
    return dict(zip(STAGES, (0, run.lengths[0]), strict=True))


def export(found: Round, task: Any, out: Path) -> Path:
    """Write a round's pseudo-labels as CSV, a line for each unlabelled image.

    Of images: label, confidence, whether it is trained on. Of pixels: the share that has a label,
    and the mean confidence of these.
    """
    names = file_names(task.target_train.still, len(found.counts))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    dense = not isinstance(found.labels, torch.Tensor)
    lines.writerow(["image", "labelled_pixels" if dense else "label", "confidence", "selected"])
    for number, (name, kept, sure) in enumerate(
        zip(names, found.kept.tolist(), found.confidence.tolist(), strict=True)
    ):
        lines.writerow([name, _told(found, number, kept, task), f"{sure:.4f}", int(kept)])
    path = out / LABELS / f"round-{found.number + 1}.csv"
    write_atomically(path, text.getvalue())
    return path


def _told(found: Round, number: int, kept: bool, task: Any) -> str:
    if not isinstance(found.labels, torch.Tensor):
        return f"{int(found.counts[number].sum()) / found.labels[number].numel():.4f}"
    if not kept:
        return ""
    label = int(found.labels[number])
    return task.classes[label] if task.classes else str(label)
