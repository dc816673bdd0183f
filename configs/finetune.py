"""The schema of `l2o finetune`: one fine-tune, of a network and images of yours or of ours."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PositiveFloat, model_validator

from l2o.configs.adaptation import Adaptation
from l2o.configs.schema import (
    Count,
    FineTuning,
    Named,
    Number,
    Options,
    PolicyChoice,
    Rate,
    Seed,
    Steps,
    Strict,
)

TASK_FIELDS = (
    "source",
    "target",
    "network",
    "pretrained",
    "weights",
    "size",
    "epochs",
    "batch_size",
)
"""Fields that are short for options of the task's family."""
LOOP_FIELDS = ("steps", "optimizer")
"""Fields that are short for fields of `finetuning`."""


class FinetuneConfig(Strict):
    """`l2o finetune`: one fine-tune under a policy or a schedule."""

    source: str | list[str] | None = None
    """Folder (or list file, or CSV) of labelled synthetic images; short for task.options.source."""
    target: str | None = None
    """Folder of real images, with labels or without; short for task.options.target."""
    network: str | None = None
    """timm:NAME, torchvision:NAME, transformers:NAME or package.module:function; short for
    task.options.network."""
    pretrained: bool | None = None
    """Whether the network has pretrained weights; short for task.options.pretrained."""
    weights: str | None = None
    """File of pretrained weights, instead of the hub's; short for task.options.weights."""
    size: Number | None = None
    """Height and width of images in pixels; short for task.options.size."""
    steps: Steps | None = None
    """Optimizer steps; short for finetuning.steps."""
    epochs: PositiveFloat | None = None
    """Passes over the source, instead of steps; short for task.options.epochs."""
    batch_size: Number | None = None
    """Images per optimizer step; short for task.options.batch_size."""
    optimizer: Named | str | None = None
    """Inner optimizer; short for finetuning.optimizer."""
    base_lr: Rate | None = None
    """Base learning rate; null takes the task's."""
    base_lr_schedule: Named | str | None = None
    """Schedule that the base learning rate follows step by step, whatever sets the multipliers on
    it; null: it stays. A schedule of `choice` is followed from decision to decision instead."""
    groups: Number | dict[str, str] | None = None
    """Layer groups: so many at most (neighbours are merged), or name -> regular expression on the
    parameters' names; null: one for each block."""
    seed: Seed = 0
    """Seed of the fine-tune (batches, new head); the task has its own."""
    task: Named = Named(name="digits", options={"split": "heldout"})
    """Task family."""
    task_seed: Seed = 0
    """Which task of the family."""
    finetuning: FineTuning = FineTuning()
    """The loop."""
    choice: PolicyChoice = PolicyChoice()
    """Policy or schedule; `--policy` on the command line overrides `choice.policy`."""
    adaptation: Adaptation | None = None
    """A second stage, on the target's images without labels; null: none."""
    guard: bool = True
    """Whether the controller's guard watches over the run, as it does in a loop of your own."""
    evaluations: Number = 20
    """How often the network is scored, at decisions, the end included."""
    select: Literal[
        "last", "source_validation", "target", "entropy", "information", "snd", "dev"
    ] = "last"
    """Which of the networks that were scored is kept: the last, the best on the source's validation
    images, the best on the target, which is an oracle: it looks at the target's labels; or the best
    by a score of the target's unlabelled images (docs/adaptation.md)."""
    checkpoint_every: Count = 200
    """Optimizer steps between checkpoints that `--resume` goes on from."""
    tracker: Literal["tensorboard", "mlflow", "trackio", "wandb"] | None = None
    """Where losses, scores and learning rates are logged while it runs; null: nowhere."""

    @model_validator(mode="after")
    def _check_once(self) -> FinetuneConfig:
        given = {**self.task.options, **self.finetuning.model_dump(exclude_defaults=True)}
        places = {"steps": "finetuning", "optimizer": "finetuning"}
        for name in (*TASK_FIELDS, *LOOP_FIELDS):
            if getattr(self, name) is not None and name in given:
                place = places.get(name, "task.options")
                raise ValueError(f"{name} is given twice; leave out {name}, or {place}.{name}")
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are both given; leave one of them out")
        return self

    @property
    def task_options(self) -> Options:
        """The options of the task's family, those of the short fields among them."""
        short = {name: getattr(self, name) for name in TASK_FIELDS}
        return {**self.task.options, **{k: v for k, v in short.items() if v is not None}}

    def in_full(self) -> FinetuneConfig:
        """Return the same config with what is short written where it belongs.

        Example:
            >>> config = FinetuneConfig(task=Named(name="folder"), source="renders", steps=100)
            >>> config.in_full().task.options, config.in_full().finetuning.steps
            ({'source': 'renders'}, 100)
        """
        named = self.optimizer
        loop: dict[str, Any] = {} if self.steps is None else {"steps": self.steps}
        if named is not None:
            loop["optimizer"] = Named(name=named) if isinstance(named, str) else named
        none: dict[str, Any] = dict.fromkeys((*TASK_FIELDS, *LOOP_FIELDS))
        task = Named(name=self.task.name, options=self.task_options)
        finetuning = self.finetuning.model_copy(update=loop)
        return self.model_copy(update={**none, "task": task, "finetuning": finetuning})
