"""The report: a self-contained `report.html`, `report.md` and PNG figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2o.benchmarks.comparisons.results_file import Results, load_results
from l2o.benchmarks.report.definitions import define
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.page import Page, Picture, duration, present, to_picture
from l2o.benchmarks.report.published_tables import published_tables
from l2o.benchmarks.report.tables import (
    chosen_table,
    claims_table,
    factors_table,
    headline_table,
    policy_tables,
    results_table,
    tuned_table,
)


def write_report(directory: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/*.png` into a benchmark's folder.

    Only what lies in the folder is read, so a report can be made anywhere and at any time.

    Returns:
        The path of `report.html`.

    Raises:
        FileNotFoundError: no results there.
        ValueError: results of another layout.
    """
    results = load_results(directory)
    return make_page(results, draw_all(results)).write(directory)


def draw_all(results: Results) -> list[Picture]:
    """Draw every figure that the results hold the numbers for."""
    from l2o.benchmarks.report.figures import FIGURES

    drawn = {name: (drawing, drawing.draw(results)) for name, drawing in FIGURES.items()}
    return [
        to_picture(name, drawing.title, drawing.caption, figure)
        for name, (drawing, figure) in drawn.items()
        if figure is not None
    ]


def make_page(results: Results, pictures: list[Picture]) -> Page:
    """Return what the report shows."""
    data = results.data
    main = present(
        headline_table(results),
        claims_table(results),
        results_table(results),
        tuned_table(results),
        *published_tables(results),
    )
    counts = data["counts"]
    return Page(
        title=data["title"],
        summary=describe(data),
        failures=data["failures"],
        main=main,
        details=present(*policy_tables(results), factors_table(results), chosen_table(results)),
        pictures=pictures,
        definitions=define(data),
        footer=f"Tasks are family seeds 0 to {counts['tasks'] - 1}, fine-tunes are seeds 0 to "
        f"{counts['seeds'] - 1}. Every fine-tune is one line of cells.jsonl; all numbers of this "
        "page are in results.json, and config.yaml repeats the benchmark.",
    )


def describe(data: dict[str, Any]) -> str:
    """Return one paragraph that says what was run."""
    counts, machine = data["counts"], data["machine"]
    factors = ", ".join(show_factor(factor) for factor in counts["base_lr_factors"])
    unused = counts["planned"] - counts["fine_tunes"]
    lacking = f" ({unused} more failed or were not run)" if unused else ""
    processes = machine["processes"]
    where = "one process" if processes == 1 else f"{processes} processes"
    return (
        f"{counts['rows']} rows × {counts['tasks']} held-out tasks × {counts['seeds']} seeds, at "
        f"base learning rates × {factors}: {counts['fine_tunes']} fine-tunes{lacking}, "
        f"{duration(data['seconds'])} of computing in {where} of one thread "
        f"each. {counts['diverged']} diverged; {counts['at_chance']} ended at chance. "
        f"l2o {machine['l2o']}, torch {machine['torch']}, Python {machine['python']}."
    )
