"""The one pipeline of all comparisons: plan, cells, summary, tables, figures, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from l2o.benchmarks.cells.record_file import CELLS, mend
from l2o.benchmarks.comparisons.results_file import CONFIG, RESULTS, Finished, Results, read_results
from l2o.benchmarks.report.page import Page, Picture, to_picture
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.report.terminal import print_tables
from l2o.configs.load import dump_config
from l2o.configs.schema import Strict
from l2o.envs.runtime.run_lock import run_lock
from l2o.files.atomic import write_atomically
from l2o.files.seals import write_json

if TYPE_CHECKING:
    from rich.console import Console

    from l2o.benchmarks.report.figures.base import Drawing

C = TypeVar("C", bound=Strict)
P = TypeVar("P")
F = TypeVar("F")
R = TypeVar("R", bound=Results)


@dataclass(frozen=True)
class Words:
    """What a report says in sentences: what was run, what words mean, where numbers come from."""

    summary: str
    definitions: Sequence[tuple[str, str]]
    footer: str


class Comparison(ABC, Generic[C, P, F, R]):
    """A kind of comparison: of a config C, a plan P, found records F and results R.

    A member says what differs; each step is here once.

    Attributes:
        kind: in its results.
        results: what its results are.
        missing: what may fail, in the plural.
        reports: whether a run ends with the report.
    """

    kind: ClassVar[str]
    results: type[R]
    missing: ClassVar[str] = "fine-tunes"
    reports: ClassVar[bool] = True

    @abstractmethod
    def plan(self, config: C, workers: int | None) -> P:
        """Lay out what is to be run, and build everything that has a name once.

        Raises:
            ValueError: a config that cannot run.
        """

    @abstractmethod
    def run_missing(self, config: C, plan: P, out: Path, workers: int | None, progress: bool) -> F:
        """Run what has no record, and return all that was found."""

    @abstractmethod
    def summarise(self, config: C, plan: P, found: F) -> R:
        """Return the content of `results.json`."""

    @abstractmethod
    def main_tables(self, results: R) -> list[Table]:
        """Return the tables at the top of the report."""

    @abstractmethod
    def terminal_tables(self, results: R) -> list[Table]:
        """Return the main tables for 100 characters a line."""

    @abstractmethod
    def detail_tables(self, results: R) -> list[Table]:
        """Return the tables after the figures."""

    @abstractmethod
    def figures(self, results: R) -> Mapping[str, Drawing[Finished[R]]]:
        """Return the figures of the report, by file stem."""

    @abstractmethod
    def words(self, results: R) -> Words:
        """Return what the report says in sentences."""

    def check_found(self, plan: P, found: F) -> None:
        """Refuse what says nothing, after it is written.

        Raises:
            RuntimeError: everything failed.
        """

    def load(self, directory: Path) -> Finished[R]:
        """Read a folder.

        Raises:
            FileNotFoundError: no results there; says how to make them.
            DamagedFileError: a file is damaged.
            ValueError: results of another layout.
        """
        return Finished(directory, read_results(directory, self.results), {})

    def run(self, config: C, out: Path, workers: int | None = None, progress: bool = True) -> Path:
        """Run what is missing, and write the results; return the path of `results.json`."""
        plan = self.plan(config, workers)
        with run_lock(out):
            mend(out / CELLS)
            write_atomically(out / CONFIG, dump_config(config))
            found = self.run_missing(config, plan, out, workers, progress)
            results = self.summarise(config, plan, found)
            write_json(out / RESULTS, results.model_dump(mode="json"))
            self.check_found(plan, found)
            if self.reports:
                self.write_report(out)
        return out / RESULTS

    def write_report(self, directory: Path) -> Path:
        """Write `report.html`, `report.md` and `figures/*.png`, from the folder alone."""
        finished = self.load(directory)
        return self.page(finished, self.draw(finished)).write(directory)

    def print_table(self, directory: Path, console: Console | None = None) -> None:
        """Print the main tables."""
        results = self.load(directory).results
        print_tables(self.terminal_tables(results), results.failures, console, self.missing)

    def draw(self, finished: Finished[R]) -> list[Picture]:
        """Draw every figure that the results hold the numbers for."""
        figures = self.figures(finished.results)
        drawn = {name: (each, each.draw(finished)) for name, each in figures.items()}
        return [
            to_picture(name, each.title, each.caption, figure)
            for name, (each, figure) in drawn.items()
            if figure is not None
        ]

    def page(self, finished: Finished[R], pictures: Sequence[Picture]) -> Page:
        """Return what the report shows."""
        results = finished.results
        words = self.words(results)
        return Page(
            title=results.title,
            summary=words.summary,
            failures=results.failures,
            main=self.main_tables(results),
            details=self.detail_tables(results),
            pictures=pictures,
            definitions=words.definitions,
            footer=words.footer,
            missing=self.missing,
        )
