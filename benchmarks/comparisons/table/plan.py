"""From a benchmark's config to its rows and their cells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from l2o.benchmarks.cells.cell import Cell
from l2o.benchmarks.cells.code_hash import hash_settings
from l2o.benchmarks.cells.quantities import QUANTITIES
from l2o.benchmarks.comparisons.claims import GROUPS
from l2o.configs.schema import BenchmarkConfig, FineTuning, Grid, Named, Options, PolicyChoice, Row
from l2o.deciding.bundle import read_card
from l2o.deciding.by_name import find_rule
from l2o.registry import unknown_name

LEARNED = "learned policy"
"""Label of the row that the `policy` shorthand adds."""

_FACTS = ("architecture", "signals", "multipliers", "interval", "sha256")
"""Keys of a card that change what the policy does."""

Kind = Literal["policy", "row", "grid"]


@dataclass(frozen=True)
class PlannedRow:
    """One row of the table with its fine-tunes.

    Attributes:
        label: name in the table.
        kind: a learned policy, a row written out in the config, or a point of the tuning grid.
        schedule: name of the schedule, or of the rule; empty for a learned policy.
        profile: name of the layer profile; empty for a learned policy or a rule.
        early_stopping: whether it stops early.
        guidance: names of the guidance terms.
        cells: the fine-tunes, over base-LR factors x tasks x seeds.
        published: figures of the published row that this one stands for, by metric.
        optimizer: name of the inner optimizer.
    """

    label: str
    kind: Kind
    schedule: str
    profile: str
    early_stopping: bool
    guidance: tuple[str, ...]
    cells: tuple[Cell, ...]
    published: Mapping[str, float] = field(default_factory=dict)
    optimizer: str = ""


@dataclass(frozen=True)
class Plan:
    """All rows of a benchmark."""

    rows: tuple[PlannedRow, ...]

    @property
    def cells(self) -> list[Cell]:
        """Every distinct fine-tune once, those of one task next to each other."""
        unique = {cell.id: cell for row in self.rows for cell in row.cells}
        return sorted(unique.values(), key=lambda cell: (cell.task_seed, cell.seed))


def make_plan(config: BenchmarkConfig) -> Plan:
    """Lay out the rows and cells of a benchmark.

    Raises:
        ValueError: no rows, half a grid, a label used twice, or a claim about a row that does not
            exist.

    Example:
        >>> row = Row(label="cosine", schedule="cosine")
        >>> len(make_plan(BenchmarkConfig(rows=(row,), tasks=2, seeds=3)).cells)
        6
    """
    _check_grid(config)
    written = [(_kind(row), row) for row in config.rows]
    if config.policy is not None:
        written.insert(0, ("policy", Row(label=LEARNED, policy=config.policy)))
    written += [("grid", row) for row in grid_rows(config.grid)]
    _check_labels([row.label for _, row in written])
    _check_claims(config, [row.label for _, row in written])
    return Plan(tuple(_planned(config, kind, row) for kind, row in written))


def grid_rows(grid: Grid) -> list[Row]:
    """Return a grid's schedules x profiles x early stopping as rows."""
    stoppings = sum(stopping is not None for stopping in grid.early_stopping)
    return [
        Row(
            label=_grid_label(schedule, profile, stopping, stoppings),
            schedule=schedule,
            profile=profile,
            early_stopping=stopping,
            base_lr_factors=grid.base_lr_factors,
        )
        for schedule, profile, stopping in itertools.product(
            grid.schedules, grid.profiles, grid.early_stopping
        )
    ]


def describe(thing: Named | str) -> str:
    """Return a short name with its options.

    Example:
        >>> describe(Named(name="step", options={"gamma": 0.5}))
        'step(gamma=0.5)'
    """
    name, options = (thing, {}) if isinstance(thing, str) else (thing.name, thing.options)
    name = name.replace("_", " ")
    return f"{name}({_options(options)})" if options else name


def fingerprint(policy: str | None) -> str:
    """Return a hash of what a learned policy does, so that retraining it makes new cells.

    A policy given by a dotted path has none, nor has a rule.

    Raises:
        BundleError: no such policy, or an unusable one.
    """
    if policy is None or ":" in policy or find_rule(policy):
        return ""
    card = read_card(policy)
    facts = {key: card.get(key) for key in _FACTS}
    # Only where there are some: fine-tunes under other policies keep their cells.
    facts |= {key: card[key] for key in ("guidance_actions",) if key in card}
    return hash_settings(facts)


def _planned(config: BenchmarkConfig, kind: Kind, row: Row) -> PlannedRow:
    finetuning, choice = config.loop_of(row), _choice(row)
    learned = choice.policy is not None
    return PlannedRow(
        label=row.label,
        kind=kind,
        schedule="" if learned else describe(choice.rule or choice.schedule),
        profile="" if learned or choice.rule else describe(choice.profile),
        early_stopping=choice.early_stopping is not None,
        guidance=tuple(finetuning.guidance),
        cells=tuple(_cells(config, row, finetuning, choice)),
        published=row.published,
        optimizer=describe(finetuning.optimizer),
    )


def _cells(
    config: BenchmarkConfig, row: Row, finetuning: FineTuning, choice: PolicyChoice
) -> Iterable[Cell]:
    mark = fingerprint(choice.policy)
    factors = row.base_lr_factors or config.base_lr_factors
    family = config.task_of(row)
    for factor, task, seed in itertools.product(factors, range(config.tasks), range(config.seeds)):
        yield Cell(
            task=family,
            task_seed=task,
            seed=seed,
            base_lr_factor=factor,
            finetuning=finetuning,
            choice=choice,
            evaluations=config.evaluations,
            fingerprint=mark,
            precision=config.precision,
            base_lr=row.base_lr,
            guard=row.guard,
            groups=json.dumps(row.groups) if row.groups else None,
            adaptation=config.second_stage(row),
            search=row.search,
        )


def _choice(row: Row) -> PolicyChoice:
    """Reduce a row to what sets its learning rates, in one spelling, so that equals are equal."""
    if (rule := _rule_of(row)) is not None:
        row = row.model_copy(update={"policy": None, "rule": rule})
    schedule, profile = _named(row.schedule), _named(row.profile)
    if row.policy is not None or row.rule is not None:
        schedule, profile = Named(name="constant"), Named(name="flat")
    return PolicyChoice(
        policy=row.policy,
        rule=None if row.rule is None else _named(row.rule),
        schedule=schedule,
        profile=profile,
        early_stopping=row.early_stopping,
        sample=row.sample,
    )


def _named(thing: Named | str) -> Named:
    return Named(name=thing) if isinstance(thing, str) else thing


def _kind(row: Row) -> Kind:
    return "row" if row.policy is None or _rule_of(row) is not None else "policy"


def _rule_of(row: Row) -> str | None:
    """Return the rule that a row names as its policy."""
    if row.policy is None or ":" in row.policy or find_rule(row.policy) is None:
        return None
    return row.policy.replace("-", "_")


def _grid_label(
    schedule: Named | str, profile: Named | str, stopping: Options | None, stoppings: int
) -> str:
    """Name a point of the grid; early stopping with its options only where there are several."""
    label = f"{describe(schedule)}, {describe(profile)}"
    if stopping is None:
        return label
    options = f"({_options(stopping)})" if stoppings > 1 and stopping else ""
    return f"{label}, early stopping{options}"


def _options(options: Options) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())


def _check_grid(config: BenchmarkConfig) -> None:
    grid = config.grid
    if bool(grid.schedules) != bool(grid.profiles) or not grid.early_stopping:
        raise ValueError(
            "a grid is schedules x profiles x early_stopping, and one of them is empty; give each "
            "at least one entry, or leave the grid out"
        )
    own = (grid.base_lr_factors, *(row.base_lr_factors for row in config.rows))
    for factors in (config.base_lr_factors, *own):
        if factors == ():
            raise ValueError("base_lr_factors is empty; give at least one, such as [1.0]")


def _check_labels(labels: list[str]) -> None:
    if not labels:
        raise ValueError("the benchmark has no rows; give `rows`, a `grid` or a `policy`")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"labels of rows must be unique, but {twice[0]!r} is used more than once")


def _check_claims(config: BenchmarkConfig, labels: list[str]) -> None:
    for claim in config.claims:
        where = f"in the claim {claim.claim!r},"
        if claim.metric not in QUANTITIES:
            raise ValueError(unknown_name(f"metric {where}", claim.metric, QUANTITIES))
        if claim.rival not in (*labels, *GROUPS):
            raise ValueError(unknown_name(f"row {where}", str(claim.rival), [*labels, *GROUPS]))
        if claim.row not in (*labels, None) or (claim.row is None and claim.rival in labels):
            raise ValueError(unknown_name(f"row {where}", str(claim.row), labels))
