"""What all comparisons' `results.json` share, and reading the folder that a comparison wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from l2o.benchmarks.cells.quantities import QUANTITIES, Quantity
from l2o.benchmarks.cells.record import Failure, Frozen, Record
from l2o.benchmarks.cells.record_file import CELLS
from l2o.benchmarks.comparisons.claims import Figure
from l2o.benchmarks.statistics import LEVEL
from l2o.configs.schema import Options
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import read_json

RESULTS, CONFIG = "results.json", "config.yaml"
REMEDY = "run the same `l2o benchmark` command again: it keeps what is finished and rewrites it"
"""What to do about damaged results."""
_OTHERS = {
    "model.safetensors": "`l2o finetune` wrote, which has its report.html there",
    "policy.safetensors": "`l2o train` wrote; look at it with `l2o benchmark CONFIG policy={}`",
}
"""Files that other commands leave, and what to do about their folders."""
FORMAT = 2
"""Version of the layout of results.json."""


class Bootstrap(Frozen):
    """How intervals were made."""

    resamples: int
    level: float = LEVEL


class Counts(Frozen):
    """How much was run: `planned` counts what failed, too."""

    rows: int
    tasks: int
    seeds: int
    base_lr_factors: tuple[float, ...]
    fine_tunes: int
    planned: int


class Chosen(Frozen):
    """What tuning chose for a task, and what its runs score in the mean."""

    task: int
    label: str
    factor: float
    score: float | None


class Results(Frozen):
    """What every comparison's `results.json` has.

    Attributes:
        format: of the layout.
        kind: of the comparison.
        title: heading of the report.
        main: what rows are ranked by.
        seconds: of computing.
        machine: facts of the machine and software.
        bootstrap: how intervals were made.
        figures: what is claimed, and what a benchmark stands or falls by.
        failures: what is missing.
    """

    format: int = FORMAT
    kind: str
    title: str
    main: Quantity
    seconds: float
    machine: dict[str, int | str]
    bootstrap: Bootstrap
    figures: tuple[Figure, ...] = ()
    failures: tuple[Failure, ...] = ()

    def quantity(self, name: str) -> Quantity:
        """Return a quantity as the objective has it."""
        return QUANTITIES[name].like(self.main)

    @property
    def cells(self) -> frozenset[str]:
        """Ids of the fine-tunes that reports show single ones of."""
        return frozenset()

    def check(self) -> None:
        """Refuse what says nothing.

        Raises:
            RuntimeError: everything failed.
        """


R = TypeVar("R", bound=Results)


@dataclass(frozen=True)
class Finished(Generic[R]):
    """A comparison that was run.

    Attributes:
        directory: where it lies.
        results: content of `results.json`.
        records: the fine-tunes by cell id, where reports show them.
    """

    directory: Path
    results: R
    records: Mapping[str, Record]


def read_results(directory: Path, kind: type[R]) -> R:
    """Return the checked content of a folder's `results.json`.

    Raises:
        FileNotFoundError: no results there; says how to make them.
        DamagedFileError: they are not what was written.
        ValueError: results of another layout.
    """
    path = directory / RESULTS
    data = _read(directory)
    if data.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {data.get('format')!r}, this release reads format {FORMAT}; "
            "run the benchmark command again to rewrite it"
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))!r}: {first['msg']}"
        raise DamagedFileError(path, f"holds no results of a benchmark ({what})", REMEDY) from error


def kind_of(directory: Path) -> str:
    """Return the kind of comparison that a folder's results are of, "table" where they say none.

    Raises:
        FileNotFoundError: no results there; says how to make them.
        DamagedFileError: they are not what was written.
        ValueError: results of another command.
    """
    for file, told in _OTHERS.items():
        if (directory / file).is_file():
            what = told.format(directory)
            raise ValueError(f"{directory} holds no benchmark, but what {what}")
    return str(_read(directory).get("kind", "table"))


def _read(directory: Path) -> Options:
    path = directory / RESULTS
    if not path.exists():
        remedy = (
            "the benchmark is not finished: run the same `l2o benchmark` command again to go on"
            if (directory / CELLS).is_file()
            else "run `l2o benchmark CONFIG --out` with this folder first"
        )
        raise FileNotFoundError(f"no {RESULTS} in {directory}; {remedy}")
    return read_json(path, REMEDY)
