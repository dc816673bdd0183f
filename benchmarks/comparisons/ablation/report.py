"""The report of an ablation: `report.html`, `report.md` and the forest plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2o.benchmarks.comparisons.ablation.definitions import define
from l2o.benchmarks.comparisons.ablation.tables import changes_table, main_table
from l2o.benchmarks.comparisons.results_file import read_results
from l2o.benchmarks.report.page import Page, Picture, duration, to_picture


def write_report(directory: Path) -> Path:
    """Write the report from the folder's `results.json` alone; return the path of `report.html`.

    Raises:
        ValueError: results of another layout.
    """
    data = read_results(directory)
    return make_page(data, draw_all(data)).write(directory)


def draw_all(data: dict[str, Any]) -> list[Picture]:
    """Draw the figure, if the results hold any difference."""
    from l2o.benchmarks.comparisons.ablation.forest import draw_forest

    figure = draw_forest(data)
    if figure is None:
        return []
    caption = (
        f"Difference to {data['base']!r}, or to the variant in brackets, paired over episodes, "
        "with 95 % intervals. Filled: the interval does not hold zero."
    )
    return [to_picture("forest", "What each change does", caption, figure)]


def make_page(data: dict[str, Any], pictures: list[Picture]) -> Page:
    """Return what the report shows."""
    return Page(
        title=data["title"],
        summary=describe(data),
        failures=data["failures"],
        main=[main_table(data)],
        details=[changes_table(data)],
        pictures=pictures,
        definitions=define(data),
        footer="Every policy is a training run of its own in `learned`; one line of cells.jsonl "
        "has its scores. All numbers of this page are in results.json, and config.yaml repeats "
        "the ablation.",
        missing="policies",
    )


def describe(data: dict[str, Any]) -> str:
    """Return one paragraph that says what was run."""
    machine, learned = data["machine"], [row for row in data["rows"] if row["seeds"]]
    policies = sum(len(row["seeds"]) for row in learned)
    seeds = ", ".join(map(str, data["seeds"]))
    where = f"{machine['processes']} process{'es' * (machine['processes'] > 1)}"
    return (
        f"{len(learned)} variants of the training config {data['train']!r}, learning seeds "
        f"{seeds}: {policies} policies, each learned from {data['fine_tunes']} fine-tunes and "
        f"scored on the same {data['episodes']} drawn episodes of the meta-training split. "
        f"Learning took {duration(data['seconds'])} in {where} of one thread each. "
        f"l2o {machine['l2o']}, torch {machine['torch']}, Python {machine['python']}."
    )
