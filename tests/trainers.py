"""Hugging Face's Trainer for the small training run of `loops`."""

from __future__ import annotations

from loops import Data, Net
from transformers import Trainer, TrainingArguments

OWN = ("optimizers", "compute_loss_func", "eval_dataset", "compute_metrics")
"""Arguments of the Trainer itself."""


def trainer(folder, callback, model=None, data=None, kind=Trainer, **options):
    """Return a Trainer of the small run, with a callback or None."""
    arguments = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "num_train_epochs": 1,
        "learning_rate": 0.02,
        "weight_decay": 0.01,
        "max_grad_norm": 0.0,
        "train_sampling_strategy": "sequential",
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 2,
        "use_cpu": True,
        **options,
    }
    more = {name: arguments.pop(name) for name in OWN if name in arguments}
    return kind(
        model=model or Net(),
        args=TrainingArguments(**arguments),
        train_dataset=data or Data(),
        callbacks=[callback] if callback else [],
        **more,
    )
