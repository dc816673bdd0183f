"""The one pipeline of all comparisons: plan, cells, summary, tables, figures, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from l2o.benchmarks.cells.quantities import NEAR_CHANCE
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, mend, read_records
from l2o.benchmarks.comparisons.results_file import CONFIG, RESULTS, Finished, Results, read_results
from l2o.benchmarks.report.page import Page, Picture, to_picture
from l2o.benchmarks.report.tables import Tables
from l2o.benchmarks.report.terminal import print_tables
from l2o.benchmarks.report.text import Text
from l2o.configs.load import dump_config
from l2o.configs.schema import Strict
from l2o.envs.runtime.run_lock import run_lock
from l2o.files.atomic import DamagedFileError, write_atomically
from l2o.files.seals import write_json
from l2o.registry import import_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

C = TypeVar("C", bound=Strict)
P = TypeVar("P")
F = TypeVar("F")
R = TypeVar("R", bound=Results)


@dataclass(frozen=True)
class Comparison(Generic[C, P, F, R]):
    """A kind of comparison: of a config C, a plan P, found records F and results R.

    A member says what differs; each step is here once. What it says in sentences is the template
    of its kind in `report/templates`.

    Attributes:
        kind: in its results.
        results: what its results are.
        plan: (config, workers) -> what is to be run, with all that has a name built once; raises
            ValueError for a config that cannot run.
        run_missing: (config, plan, folder, workers, progress) -> all that was found, once what has
            no record is run.
        summarise: (config, plan, found) -> the content of `results.json`.
        tables: results -> the tables of the report.
        figures: where its figures are: file stem -> what draws one of a folder, None where that
            does not hold what it shows. They need matplotlib, and so are imported when drawn.
        missing: what may fail, in the plural.
        reports: whether a run ends with the report.
    """

    kind: str
    results: type[R]
    plan: Callable[[C, int | None], P]
    run_missing: Callable[[C, P, Path, int | None, bool], F]
    summarise: Callable[[C, P, F], R]
    tables: Callable[[R], Tables]
    figures: str
    missing: str = "fine-tunes"
    reports: bool = True

    def load(self, directory: Path) -> Finished[R]:
        """Read a folder, with the records of the fine-tunes that the report shows.

        A folder of results alone has no file of records, and needs none.

        Raises:
            FileNotFoundError: no results there; says how to make them.
            DamagedFileError: a file is damaged.
            ValueError: results of another layout.
        """
        results, path = read_results(directory, self.results), directory / CELLS
        records = read_records(path, Record) if results.cells else {}
        lacking = results.cells - records.keys()
        if lacking and path.exists():
            remedy = "run the same `l2o benchmark` command again, which runs what is missing"
            reason = f"lacks {len(lacking)} fine-tunes that {RESULTS} speaks of"
            raise DamagedFileError(path, reason, remedy)
        return Finished(directory, results, records)

    def run(self, config: C, out: Path, workers: int | None = None, progress: bool = True) -> Path:
        """Run what is missing, and write the results; return the path of `results.json`."""
        plan = self.plan(config, workers)
        with run_lock(out):
            mend(out / CELLS)
            write_atomically(out / CONFIG, dump_config(config))
            found = self.run_missing(config, plan, out, workers, progress)
            results = self.summarise(config, plan, found)
            write_json(out / RESULTS, results.model_dump(mode="json"))
            results.check()
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
        tables = self.tables(results).explained(self.text(results).notes)
        print_tables(tables.terminal, results.failures, console, self.missing)

    def text(self, results: R) -> Text:
        """Return what the report says in sentences."""
        return Text.of(self.kind, results=results, near_chance=NEAR_CHANCE)

    def draw(self, finished: Finished[R]) -> list[Picture]:
        """Draw every figure that the results hold the numbers for."""
        figures: Mapping[str, Callable[[Finished[R]], Figure | None]]
        figures, said = import_path(self.figures), self.text(finished.results).figures
        drawn = {name: draw(finished) for name, draw in figures.items()}
        return [
            to_picture(n, *said[n], figure) for n, figure in drawn.items() if figure is not None
        ]

    def page(self, finished: Finished[R], pictures: list[Picture]) -> Page:
        """Return what the report shows."""
        results = finished.results
        text = self.text(results)
        tables = self.tables(results).explained(text.notes)
        return Page(results.title, text, tables, pictures, results.failures, self.missing)
