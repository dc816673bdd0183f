"""What the `results.json` of a table holds."""

from __future__ import annotations

from typing import Literal

from l2o.benchmarks.cells.record import Frozen, Record
from l2o.benchmarks.comparisons.results_file import Chosen, Counts, Finished, Results
from l2o.benchmarks.statistics import Difference, Estimate
from l2o.configs.schema import Named


class Block(Frozen):
    """What a row scores at one base LR, or in the mean over several.

    Attributes:
        factors: on the task's base LR.
        scores: interquartile means, by quantity.
        plain_mean: of the main score on the target.
    """

    factors: tuple[float, ...]
    scores: dict[str, Estimate]
    plain_mean: float | None


class Health(Frozen):
    """How fine-tunes ended: how many there are, diverged, ended at chance; seconds of each."""

    fine_tunes: int
    diverged: int
    at_chance: int
    seconds_each: float | None


class AtFactor(Block, Health):
    """What a row scores at one base LR, and how its fine-tunes ended."""


class RowResult(Health):
    """One row of the table.

    Attributes:
        label: its name.
        kind: a learned policy, a row of the config, or a point of the tuning grid.
        schedule: name of the schedule or rule.
        profile: name of the layer profile.
        optimizer: name of the inner optimizer.
        early_stopping: whether it stops early.
        guidance: names of the guidance terms.
        missing: fine-tunes that failed or were not run.
        default: at the base LR as the task gives it, with the measures.
        misjudged: in the mean over all base LRs.
        by_factor: at each.
        class_accuracy: of each class of the target, at the default.
        selected: interquartile means at the default, by the rule that keeps a run's network.
        base_lr: a base LR of its own, whatever the factor.
        cells: ids of its fine-tunes.
    """

    label: str
    kind: Literal["policy", "row", "grid"]
    schedule: str
    profile: str
    optimizer: str
    early_stopping: bool
    guidance: tuple[str, ...]
    missing: int
    default: Block
    misjudged: Block
    by_factor: tuple[AtFactor, ...]
    class_accuracy: tuple[float | None, ...]
    selected: dict[str, Estimate] = {}
    base_lr: float | None
    cells: tuple[str, ...]


class TunedResult(Frozen):
    """A schedule of the grid, tuned per task by a selection rule.

    Attributes:
        schedule: its name, or `WHOLE_GRID`.
        selection: the rule that picked.
        points: settings in the grid.
        fine_tunes_per_task: what tuning on one task costs.
        score: interquartile mean of the picked runs; the picks are held fixed in the interval.
        chosen: what was picked for each task.
    """

    schedule: str
    selection: str
    points: int
    fine_tunes_per_task: int
    score: Estimate
    chosen: tuple[Chosen, ...]


class Verdict(Frozen):
    """A difference, and whether its whole interval is above zero."""

    difference: Difference
    holds: bool
    verdict: str


class Against(Verdict):
    """A policy compared with another row or a tuned schedule; `setting` says at which base LRs."""

    label: str
    setting: str
    kind: str = ""
    profile: str = ""


class PolicyResult(Frozen):
    """A learned policy against every other row; `fingerprint` says which one it is."""

    label: str
    fingerprint: str
    against: tuple[Against, ...]


class OrderResult(Verdict):
    """A claimed order of two rows."""

    claim: str
    metric: str
    row: str
    rival: str


class PublishedRow(Frozen):
    """A row that stands for a published one."""

    label: str
    published: float
    here: Estimate


class PublishedPair(Frozen):
    """Two rows, with the difference here and the published one."""

    one: str
    other: str
    difference: Difference
    published: float


class PublishedResult(Frozen):
    """How far the rows lie in the published order of a quantity."""

    metric: str
    rows: tuple[PublishedRow, ...]
    pairs: int
    agree: int
    contradict: tuple[PublishedPair, ...]


class TableCounts(Counts):
    """How much was run, and how it ended."""

    diverged: int
    at_chance: int


class TableResults(Results):
    """The `results.json` of a table."""

    kind: str = "table"
    task: Named
    counts: TableCounts
    rows: tuple[RowResult, ...]
    tuned: tuple[TunedResult, ...] = ()
    policies: tuple[PolicyResult, ...] = ()
    claims: tuple[OrderResult, ...] = ()
    published: tuple[PublishedResult, ...] = ()

    @property
    def cells(self) -> frozenset[str]:
        """Ids of all fine-tunes: figures show single ones."""
        return frozenset(id for row in self.rows for id in row.cells)

    def check(self) -> None:
        """Refuse a table in which every fine-tune failed."""
        if not self.counts.fine_tunes:
            raise RuntimeError(f"every fine-tune failed; the first: {self.failures[0].error}")


TableFolder = Finished[TableResults]


def good_records(folder: TableFolder, row: RowResult, factor: float | None = None) -> list[Record]:
    """Return a row's good records, at one base-LR factor or at all."""
    found = [folder.records[id] for id in row.cells if id in folder.records]
    # A fixed base LR is the same fine-tune at every factor.
    every = factor is None or row.base_lr is not None
    return [
        record
        for record in found
        if record.error is None and (every or factor == record.base_lr_factor)
    ]


def runs_that_decide(
    folder: TableFolder, row: RowResult, factor: float | None = None
) -> list[Record]:
    """Return a row's runs with decisions and the commonest layer groups."""
    deciding = [record for record in good_records(folder, row, factor) if record.rates.step]
    names = [record.rates.groups for record in deciding]
    common = max(names, key=names.count, default=())
    return [record for record in deciding if record.rates.groups == common]
