"""What a field is searched over, and the search that a row of a benchmark may stand for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from l2o.configs.base import Named, Number, Strict
from l2o.configs.ray import ExecutorName

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

Domain = dict[str, Any]
"""{choice: [...]}, {uniform: [low, high]} or another of `DOMAINS`."""


def check_domain(field: str, domain: Domain) -> None:
    """Raise ValueError unless this says what a field is searched over.

    Example:
        >>> check_domain("base_lr", {"loguniform": [1e-5, 1.0]})
    """
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


def check_changing(scheduler: str, field: str, kind: str) -> None:
    """Raise ValueError unless a scheduler that changes values on the way can change this one."""
    if not field.startswith(ON_THE_WAY):
        raise ValueError(
            f"scheduler {scheduler} changes fields on a fine-tune's way, and {field} cannot "
            f"change there; what can: {', '.join(ON_THE_WAY)}. Take scheduler=asha for others"
        )
    if kind == "grid" or (scheduler == "pb2" and kind not in ("uniform", "loguniform")):
        wanted = "uniform or loguniform" if scheduler == "pb2" else "a range, or choice"
        raise ValueError(f"scheduler {scheduler}: {field} has {kind}; write {wanted}")


def _plain(fields: Any) -> Any:
    """Write nested fields by dotted paths, as overrides make them; leave out those that are null.

    `search.choice.schedule=null` on the command line is a mapping in a mapping.
    """
    if not isinstance(fields, dict):
        return fields
    return {field: domain for field, domain in _dotted(fields).items() if domain is not None}


def _dotted(fields: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if _is_nested(value):
            found |= {f"{name}.{rest}": each for rest, each in _dotted(value).items()}
        else:
            found[name] = value
    return found


def _is_nested(value: Any) -> bool:
    """Tell fields in a field from a domain, whose only value is a list (or is wrong)."""
    if not isinstance(value, dict) or not value:
        return False
    if list(value.values()) == [None] and set(value) <= set(DOMAINS):
        return False
    return all(each is None or isinstance(each, dict) for each in value.values())


Fields = Annotated[dict[str, Domain], BeforeValidator(_plain)]
"""Dotted field -> what it is searched over; null leaves one out."""


class Search(Strict):
    """A row that stands for a search by Ray Tune: many fine-tunes of a task, of which one is kept.

    Which one, the source's validation images decide. Fine-tunes run one after the other, on the one
    core that a row's fine-tune has; those of hyperband, pbt and pb2 wait for each other, and
    as many run at once as there are cores.
    """

    fields: Fields = {}
    """Dotted field of `l2o finetune` -> {choice: [...]}, {uniform: [low, high]}, {loguniform: [low,
    high]}, {randint: [low, high]} or {lograndint: [low, high]}."""
    layers: Domain | None = None
    """The same of a multiplier for each layer group of the task's network; null: none."""
    scheduler: ExecutorName = Named(name="asha")
    """Which of them go on, as in `l2o tune`."""
    searcher: ExecutorName = Named(name="random")
    """Which there are, as in `l2o tune`, but for grid."""
    fine_tunes: Annotated[Number, Field(ge=2)] = 48
    """The budget: so many are begun."""
    equal_time: bool = False
    """Instead of so many: as many as begin in the time that `fine_tunes` whole ones take. When that
    is over depends on the machine."""
    reports: Number = 9
    """How often a fine-tune is scored and may be stopped, at decisions, the end included."""

    @model_validator(mode="after")
    def _check(self) -> Search:
        if not self.fields and self.layers is None:
            raise ValueError("search has neither fields nor layers: give what is searched over")
        if self.equal_time and self.scheduler.name in CHANGING:
            raise ValueError(
                f"equal_time is not for scheduler {self.scheduler.name}: a population's fine-tunes "
                "are whole, so that as many take as long; leave it out"
            )
        if self.searcher.name == "grid":
            raise ValueError("searcher grid has no budget of fine-tunes; write a grid of the table")
        for field, domain in self.by_layer(1).items():
            check_domain(field, domain)
            if self.scheduler.name in CHANGING:
                check_changing(self.scheduler.name, field, next(iter(domain)))
        chosen = [field for field in self.fields if field.startswith("choice.")]
        if chosen and self.layers is not None:
            raise ValueError(
                f"search has layers, which set all multipliers, and {chosen[0]}: leave one out"
            )
        return self

    def by_layer(self, layers: int) -> dict[str, Domain]:
        """Return what each field is searched over, of a network with so many layer groups.

        Example:
            >>> list(Search(layers={"uniform": [0.0, 1.0]}).by_layer(2))
            ['choice.rule.options.multipliers.0', 'choice.rule.options.multipliers.1']
        """
        if self.layers is None:
            return dict(self.fields)
        each = {f"choice.rule.options.multipliers.{n}": self.layers for n in range(layers)}
        return {**self.fields, **each}
