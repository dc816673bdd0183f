"""The schema of `l2o tune`: a search over any fields of another command's config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from l2o.configs.base import Named, Options, Strict
from l2o.configs.ray import ExecutorName, Ray
from l2o.configs.schema import Number, Seed

DOMAINS = ("choice", "grid", "uniform", "loguniform", "randint", "lograndint")
"""Kinds of what a field is searched over."""
CHANGING = ("pbt", "pb2")
"""Schedulers that change what a trial does on its way."""
ON_THE_WAY = (
    "base_lr",
    "choice.rule.options.",
    "finetuning.optimizer.options.",
    "finetuning.guidance.",
)
"""Fields (or what they begin with) that may change on the way of a fine-tune."""


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
    search: dict[str, dict[str, Any]] = Field(min_length=1)
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
    """Trials at once; null: as many as there is room for."""
    minutes: PositiveFloat | None = None
    """Wall-clock after which no more is begun; null: no bound."""
    seed: Seed = 0
    """Seed of what is drawn; of trials, their own config says."""
    ray: Ray = Ray()
    """The cluster; `gpus` and `cpus` are those of a trial."""

    @field_validator("search", mode="before")
    @classmethod
    def _leave_out(cls, search: Any) -> Any:
        if not isinstance(search, dict):
            return search
        return {field: domain for field, domain in search.items() if domain is not None}

    @field_validator("search")
    @classmethod
    def _check_domains(cls, search: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for field, domain in search.items():
            _check_domain(field, domain)
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
            if not field.startswith(ON_THE_WAY):
                raise ValueError(
                    f"scheduler {name} changes fields on a fine-tune's way, and {field} cannot "
                    f"change there; what can: {', '.join(ON_THE_WAY)}. Take scheduler=asha for "
                    "others"
                )
            if kind == "grid" or (name == "pb2" and kind != "uniform" and kind != "loguniform"):
                wanted = "uniform or loguniform" if name == "pb2" else "a range, or choice"
                raise ValueError(f"scheduler {name}: {field} has {kind}; write {wanted}")


def _check_domain(field: str, domain: dict[str, Any]) -> None:
    if len(domain) != 1 or next(iter(domain)) not in DOMAINS:
        raise ValueError(
            f"{field}: {domain!r} says not what it is searched over; write one of "
            f"{', '.join(DOMAINS)}, such as {{loguniform: [1e-5, 1]}}"
        )
    ((kind, value),) = domain.items()
    if not isinstance(value, list) or not value:
        raise ValueError(f"{field}: {kind} takes a list, got {value!r}")
    if kind in ("choice", "grid"):
        return
    if len(value) != 2 or not all(isinstance(each, int | float) for each in value):
        raise ValueError(f"{field}: {kind} takes [low, high], got {value!r}")
    low, high = value
    if not low < high:
        raise ValueError(f"{field}: {kind} takes [low, high] with low < high, got {value!r}")
    if kind.startswith("log") and low <= 0:
        raise ValueError(f"{field}: {kind} needs a positive low end, got {value!r}")
    if kind.endswith("randint") and not all(float(each).is_integer() for each in value):
        raise ValueError(f"{field}: {kind} takes whole numbers, got {value!r}")
