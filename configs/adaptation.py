"""The schema of a second stage: adaptation to unlabelled images of the target."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from l2o.configs.base import Named, Number, Options, Rate, Steps, Strict
from l2o.configs.choice import PolicyChoice

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Mix(Strict):
    """The share of source images in the batches of self-training, which may grow by rounds."""

    first: Share = 0.5
    """Of the first round."""
    growth: Share = 0.0
    """What each later round has more."""
    most: Share = 1.0
    """At most."""


class Adaptation(Strict):
    """A second stage, after that on the source: adaptation to the target's unlabelled images."""

    method: Named | str
    """cbst, mrkld, lrent, avh, drst, threshold, entropy (self-training), or mmd, coral, dann, mcd,
    adr, entropy_minimisation, information_maximisation (one joint stage), or one of your own."""
    rounds: Number = 3
    """Rounds of self-training: predict the target, select, train."""
    steps: Steps = 100
    """Optimizer steps of each round; a joint stage has rounds x steps."""
    batch_size: Number | None = None
    """Images of a batch, of both domains together in self-training, of each in a joint stage; null:
    as many as in the first stage."""
    mix: Mix = Mix()
    """Share of source images in the batches of self-training."""
    balanced: bool = False
    """Whether pseudo-labelled images are drawn by class, classes evenly."""
    rare: Annotated[int, Field(ge=0, le=1000)] = 0
    """Rarest classes that are mined: 3 in the papers' segmentation; 0: none."""
    rare_probability: Share = 0.8
    """With which probability an image is one that holds a rare class."""
    teacher: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Decay of a moving average of the weights, which predicts then; null: the network itself."""
    choice: PolicyChoice | None = None
    """Policy or schedule of this stage; null: that of the first."""
    base_lr: Rate | None = None
    """Base learning rate of this stage; null: that of the first."""
    base_lr_schedule: Named | str | None = None
    """Schedule that the base learning rate follows in this stage; null: it stays."""
    optimizer: Named | str | None = None
    """Optimizer of this stage; null: that of the first."""
    guidance: dict[str, Options] | None = None
    """Guidance terms of this stage, on source images; null: those of the first."""
