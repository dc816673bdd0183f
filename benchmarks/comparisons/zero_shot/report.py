"""The report of a zero-shot comparison: `report.html`, `report.md` and PNG figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2o.benchmarks.comparisons.results_file import read_results
from l2o.benchmarks.comparisons.zero_shot.definitions import define
from l2o.benchmarks.comparisons.zero_shot.tables import detail_tables, main_tables
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.page import Page, Picture, duration, to_picture


def write_report(directory: Path) -> Path:
    """Write the report from the folder's `results.json` alone; return the path of `report.html`.

    Raises:
        ValueError: results of another layout.
    """
    data = read_results(directory)
    return make_page(data, draw_all(data)).write(directory)


def draw_all(data: dict[str, Any]) -> list[Picture]:
    """Draw every figure that the results hold the numbers for."""
    from l2o.benchmarks.comparisons.zero_shot.figures import FIGURES

    drawn = {name: (drawing, drawing.draw(data)) for name, drawing in FIGURES.items()}
    return [
        to_picture(name, drawing.title, drawing.caption, figure)
        for name, (drawing, figure) in drawn.items()
        if figure is not None
    ]


def make_page(data: dict[str, Any], pictures: list[Picture]) -> Page:
    """Return what the report shows."""
    counts = data["counts"]
    return Page(
        title=data["title"],
        summary=describe(data),
        failures=data["failures"],
        main=main_tables(data),
        details=detail_tables(data),
        pictures=pictures,
        definitions=define(data),
        footer=f"Tasks are family seeds 0 to {counts['tasks'] - 1}, fine-tunes are seeds 0 to "
        f"{counts['seeds'] - 1}. Each family's folder is a benchmark with a report of its own; all "
        "numbers of this page are in results.json, and config.yaml repeats the comparison.",
    )


def describe(data: dict[str, Any]) -> str:
    """Return one paragraph that says what was run."""
    counts, machine = data["counts"], data["machine"]
    factors = ", ".join(show_factor(factor) for factor in counts["base_lr_factors"])
    unused = counts["planned"] - counts["fine_tunes"]
    lacking = f" ({unused} more failed or were not run)" if unused else ""
    unseen = [name for name, family in data["families"].items() if family["unseen"]]
    where = f"{machine['processes']} process{'es' * (machine['processes'] > 1)}"
    return (
        f"{counts['families']} families of held-out tasks ({', '.join(data['families'])}; unseen: "
        f"{', '.join(unseen) or 'none'}) × {counts['tasks']} tasks × {counts['seeds']} seeds, at "
        f"base learning rates × {factors}, beside a grid of {counts['grid_points']} points: "
        f"{counts['fine_tunes']} fine-tunes{lacking}, {duration(data['seconds'])} of computing in "
        f"{where} of one thread each. "
        f"l2o {machine['l2o']}, torch {machine['torch']}, Python {machine['python']}."
    )
