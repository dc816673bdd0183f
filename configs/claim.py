"""What a benchmark is held to."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from l2o.configs.base import Strict


class Bound(Strict):
    """What a claimed value is held against."""

    at_least: float | None = None
    """The value must be this or more; null: see `at_most`."""
    at_most: float | None = None
    """The value must be this or less."""
    clear: bool = False
    """Whether its whole interval must be above zero, too."""

    @model_validator(mode="after")
    def _check_one(self) -> Bound:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("needs one of at_least and at_most")
        return self


class Claim(Strict):
    """What a benchmark is held to: a row above a rival, or a number of one row within bounds."""

    claim: str = ""
    """The sentence."""
    metric: str = "target_accuracy"
    """What is compared: split and metric; `failed`, `fine_tunes` are a policy's own."""
    # `better` and `worse` until rows had rivals; configs of earlier runs are still read.
    row: str | None = Field(default=None, validation_alias=AliasChoices("row", "better"))
    """Label of the row that must be better; null: each learned policy."""
    rival: str | None = Field(default=None, validation_alias=AliasChoices("rival", "worse"))
    """Label of the row that must be worse, or a group: best schedule, source_validation, ..."""
    base_lrs: tuple[Literal["default", "mean"], ...] = ("mean",)
    """At the default base LR, in the mean over base LRs, or at both."""
    unseen: bool = False
    """Over families: whether it is held on each unseen family alone."""
    must: Bound | None = Bound(at_least=0.0, clear=True)
    """What must hold, in percentage points where shares are compared; null: nothing."""
    goal: Bound | None = None
    """What is aimed at."""
