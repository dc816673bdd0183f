"""The schema of zero-shot comparisons: one policy on held-out tasks of several families."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from l2o.configs.schema import (
    Claim,
    ExecutorName,
    Factor,
    FineTuning,
    Grid,
    Named,
    Number,
    Placed,
    Precision,
    Rate,
    Row,
    Strict,
    check_fine_tunes,
)


class HeldOutFamily(Strict):
    """A family of held-out tasks, and how its networks are fine-tuned."""

    task: Named
    """Task family; its held-out split."""
    finetuning: FineTuning = FineTuning()
    """The inner loop, the same for every row."""
    base_lr: Rate | None = None
    """Default base LR, given to the task family as its option `base_lr`; null keeps its own."""
    unseen: bool = False
    """Whether architecture, optimizer or kind of data is one that no policy was learned on."""

    @model_validator(mode="after")
    def _check_base_lr(self) -> HeldOutFamily:
        if self.base_lr is not None and "base_lr" in self.task.options:
            raise ValueError("gives base_lr twice; leave out base_lr, or task.options.base_lr")
        return self


class ZeroShotConfig(Placed):
    """`l2o benchmark`, over several families: one policy against tuned and untuned rivals."""

    title: str = "Zero-shot comparison"
    """Heading of the report."""
    families: dict[str, HeldOutFamily] = Field(min_length=1)
    """Families: name -> tasks, each run in a folder of this name; null leaves out a preset's."""
    policy: str = "asg-base"
    """The policy: a shipped one's name, a bundle's or a run's folder, or a dotted path."""
    lite: str | None = "asg-lite"
    """A policy of fewer signals that is held against the first; null leaves it out."""
    tasks: Number = 10
    """Held-out tasks of each family (family seeds 0, 1, ...)."""
    seeds: Number = 1
    """Fine-tunes per task and setting, each with its own batches and head."""
    base_lr_factors: tuple[Factor, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Factors on the default base LR: how wrong the user's guess was; must hold 1."""
    grid: Grid = Grid()
    """Schedules x profiles x base LRs, tuned per task; untuned, each is a rival, too."""
    rows: tuple[Row, ...] = ()
    """Further rivals, untuned."""
    claims: tuple[Claim, ...] = ()
    """What the policy is held to."""
    evaluations: Number = 3
    """Points of the accuracy-over-training curve, at decisions, the end included."""
    bootstrap: Number = 2000
    """Resamples of each confidence interval."""
    stacked: bool = True
    """False: fine-tunes one by one. What has no stacked form is run so in any case."""
    executor: ExecutorName = Named(name="processes")
    """Where the workers (`--workers`) are: processes of this machine, here (this process, one
    fine-tune or stack after the other), `ray` (the workers of a cluster), or one of your own."""
    precision: Precision = "float32"
    """Number format of the networks, when stacked; tf32 is CUDA's, elsewhere it is float32."""

    @field_validator("families", mode="before")
    @classmethod
    def _leave_out(cls, families: Any) -> Any:
        if not isinstance(families, dict):
            return families
        return {name: family for name, family in families.items() if family is not None}

    @field_validator("families")
    @classmethod
    def _check_families(cls, families: dict[str, HeldOutFamily]) -> dict[str, HeldOutFamily]:
        for name in families:
            if not name.replace("-", "").replace("_", "").isalnum() or name == "figures":
                raise ValueError(
                    f"{name!r} is no name of a family: it names a folder, so take letters, digits, "
                    "- and _, and not 'figures'"
                )
        return families

    @field_validator("base_lr_factors")
    @classmethod
    def _check_factors(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if 1.0 not in factors:
            raise ValueError("must hold 1, the default base LR")
        return factors

    @model_validator(mode="after")
    def _check_size(self) -> ZeroShotConfig:
        check_fine_tunes(self.tasks, self.seeds)
        return self

    @model_validator(mode="after")
    def _check_grid(self) -> ZeroShotConfig:
        if not (self.grid.schedules and self.grid.profiles and self.grid.early_stopping):
            raise ValueError("grid must have schedules and profiles: the policy is held against it")
        return self
