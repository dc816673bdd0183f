"""Hugging Face's Trainer: every kind of its schedules, warm-up from 0 included.

A small BERT, not pretrained, learns which kind of tokens a sequence holds the most of. transformers
5 has no `warmup_ratio` any more: `warmup_steps` below 1 is the share that it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from l2o.benchmarks.studies.harm.base import QUICK_POLICIES, Choice, Ran, Set
from l2o.benchmarks.studies.harm.cell import PLAIN, Cell, make_scores
from l2o.benchmarks.studies.harm.plugging import accuracy

STEPS, BATCH, LR = 80, 16, 1e-3
CLASSES, TOKENS, LENGTH = 4, 64, 16
TRAINING, VALIDATION = 320, 128
CLEAR, FAINT = 7, 5
"""Tokens of its class that a sequence of the source, and one of the target, holds at least."""

_WARM_UP = {"warmup_steps": 0.2}
_EVALUATED = {"eval_strategy": "steps", "eval_steps": 10}
TRAINER_SCHEDULES: dict[str, Mapping[str, object]] = {
    "warmup_steps": {"lr_scheduler_type": "linear", "warmup_steps": 16},
    "warmup_ratio": {"lr_scheduler_type": "linear", **_WARM_UP},
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"lr_scheduler_kwargs": {"num_cycles": 3}},
    "polynomial": {},
    "constant": {},
    "constant_with_warmup": _WARM_UP,
    "inverse_sqrt": _WARM_UP,
    "reduce_lr_on_plateau": {**_EVALUATED, "lr_scheduler_kwargs": {"patience": 1}},
    "cosine_with_min_lr": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    "cosine_warmup_with_min_lr": {**_WARM_UP, "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    "warmup_stable_decay": {**_WARM_UP, "lr_scheduler_kwargs": {"num_decay_steps": 20}},
    "greedy": {
        **_EVALUATED,
        "lr_scheduler_kwargs": {"patience": 1, "factor": 0.5, "min_lr": 1e-5, "max_lr": 4e-3},
    },
}
"""Name -> arguments of the Trainer; a name is its `lr_scheduler_type` where none is given."""


def fine_tune(cell: Cell) -> Ran:
    """Train with the Trainer and score."""
    import transformers

    from l2o.integrations.huggingface import LRCallback

    transformers.logging.set_verbosity_error()
    callbacks: list[Any] = [] if cell.policy == PLAIN else [LRCallback(cell.policy)]
    model: Any = make_bert(cell.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model,
            _arguments(cell, folder),
            train_dataset=_rows(*sequences(TRAINING, CLEAR, seed=1)),
            eval_dataset=_rows(*sequences(VALIDATION, CLEAR, seed=2)),
            callbacks=callbacks,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    source, target = (
        _accuracy(model, *sequences(VALIDATION, own, seed=seed))
        for own, seed in ((CLEAR, 2), (FAINT, 3))
    )
    scores = make_scores(source, target, CLASSES, VALIDATION)
    return losses, callbacks[0].controller if callbacks else None, scores


def make_bert(seed: int) -> nn.Module:
    """Return a small BERT that classifies; it has six layer groups."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=TOKENS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        num_labels=CLASSES,
    )
    model: nn.Module = BertForSequenceClassification(config)
    return model


def sequences(count: int, own: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return sequences `[N, LENGTH]` with so many tokens of their class, and labels `[N]`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    share = TOKENS // CLASSES
    tokens = torch.randint(0, TOKENS, (count, LENGTH), generator=generator)
    chosen = torch.randint(0, share, (count, LENGTH), generator=generator) + labels[:, None] * share
    places = torch.rand(count, LENGTH, generator=generator).argsort(dim=1) < own
    return torch.where(places, chosen, tokens), labels


def _rows(tokens: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
    return [{"input_ids": row, "labels": label} for row, label in zip(tokens, labels)]


def _arguments(cell: Cell, folder: str) -> Any:
    from transformers import TrainingArguments

    given = {"lr_scheduler_type": cell.schedule, **TRAINER_SCHEDULES[cell.schedule]}
    return TrainingArguments(
        folder,
        max_steps=cell.steps,
        learning_rate=cell.lr,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=64,
        optim="adamw_torch",
        seed=cell.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **given,
    )


@torch.no_grad()
def _accuracy(model: Any, tokens: Tensor, labels: Tensor) -> float:
    model.eval()
    return accuracy(model(input_ids=tokens).logits, labels)


TRAINER = Set(
    networks=("bert",),
    optimizers=("AdamW",),
    schedules=TRAINER_SCHEDULES,
    bound=2.0,
    quick=Choice(QUICK_POLICIES, schedules=("warmup_steps", "constant", "greedy")),
    model=lambda network: make_bert(seed=0),
    steps=lambda network: STEPS,
    lrs=lambda network, optimizer: (LR,),
    fine_tune=fine_tune,
)
