"""The schema of `l2o tune`: a search over any fields of another command's config."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from l2o.configs.base import Named, Options, Strict
from l2o.configs.ray import ExecutorName, Ray
from l2o.configs.schema import Number, Seed
from l2o.configs.search import CHANGING, Fields, check_changing, check_domain


class TuneConfig(Strict):
    """`l2o tune`: Ray Tune over the fields of a fine-tune's or a training's config."""

    title: str = "Search"
    """Heading of the report."""
    of: Literal["finetune", "train"] = "finetune"
    """The command whose config is searched over."""
    config: str = "digits"
    """That config: a preset's name, or a YAML file's path."""
    changes: Options = {}
    """Fields of it that all trials have otherwise: dotted key -> value, as on the command line."""
    search: Annotated[Fields, Field(min_length=1)]
    """Dotted field of it -> {choice: [...]}, {grid: [...]}, {uniform: [low, high]}, {loguniform:
    [low, high]}, {randint: [low, high]} or {lograndint: [low, high]}; null: leave it out."""
    trials: Number = 16
    """Trials; with searcher grid, as many as there are combinations."""
    metric: str | None = None
    """What is searched for, by a name of the objective's: on the source's validation images, unless
    the name begins with `target_`, which is an oracle. null: the main metric. Of a training:
    target_accuracy, on tasks that it is not trained on, or worst."""
    scheduler: ExecutorName = Named(name="asha")
    """Which trials go on: fifo (all), asha, hyperband, median, pbt, pb2, or one of your own."""
    searcher: ExecutorName = Named(name="random")
    """Which trials there are: random, grid, optuna, another of Ray's by its name, or your own."""
    reports: Number = 9
    """How often a fine-tune is scored and may be stopped, at decisions, the end included."""
    concurrent: Number | None = None
    """Trials at once; null: as many as there is room for. With hyperband, pbt and pb2, whose trials
    wait for each other, as many as there is room for in any case."""
    minutes: PositiveFloat | None = None
    """Wall-clock after which no more is begun; null: no bound."""
    seed: Seed = 0
    """Seed of what is drawn; of trials, their own config says."""
    ray: Ray = Ray()
    """The cluster; `gpus` and `cpus` are those of a trial."""

    @field_validator("search")
    @classmethod
    def _check_domains(cls, search: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for field, domain in search.items():
            check_domain(field, domain)
        return search

    @model_validator(mode="after")
    def _check_together(self) -> TuneConfig:
        kinds = {field: next(iter(domain)) for field, domain in self.search.items()}
        if self.searcher.name == "grid" and self.scheduler.name in CHANGING:
            raise ValueError(f"scheduler {self.scheduler.name} draws trials; take searcher=random")
        for field, kind in kinds.items():
            if self.searcher.name == "grid" and kind not in ("grid", "choice"):
                raise ValueError(
                    f"searcher grid needs values, and {field} has {kind}: write choice: [...], or "
                    "take searcher=random"
                )
            if self.searcher.name not in ("grid", "random") and kind == "grid":
                raise ValueError(
                    f"{field} has grid, which searcher random and grid know; write choice"
                )
        if self.scheduler.name in CHANGING:
            self._check_changing(kinds)
        return self

    def _check_changing(self, kinds: dict[str, str]) -> None:
        """Refuse a search that changes on the way what cannot be changed there."""
        name = self.scheduler.name
        if self.of != "finetune":
            raise ValueError(f"scheduler {name} is for fine-tunes; take asha for of={self.of}")
        if self.searcher.name != "random":
            raise ValueError(f"scheduler {name} is its own searcher; take searcher=random")
        for field, kind in kinds.items():
            check_changing(name, field, kind)
