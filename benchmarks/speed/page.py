"""The tables and the figure of a stacked run, for the documentation.

python -m l2o.benchmarks.speed page stacked.json --picture docs/figures/stacked.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", type=Path, nargs="+", help="JSON files of `stacked`")
    parser.add_argument("--picture", type=Path, help="PNG to draw steps per second over N into")


def run(arguments: argparse.Namespace) -> None:
    """Print the tables, and draw the picture if asked for."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.results]
    for result in results:
        print(f"{result['device']}, {result['precision']}:\n")
        print(rows_table(result))
        print(figures_table(result))
    if arguments.picture:
        draw(results, arguments.picture)


def rows_table(results: dict[str, Any]) -> str:
    """Return the contenders as a Markdown table."""
    lines = [
        "| width | what | steps/s | ratio to the bare loop | µs per step | memory, predicted "
        "| measured |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['width']} | {row['name']} | {row['steps_per_second']:,.0f} | {row['ratio']:.2f} "
        f"| {row['microseconds_per_step']:,.0f} | {_mebibytes(row['predicted_memory_bytes'])} "
        f"| {_mebibytes(row.get('measured_memory_bytes'))} |"
        for row in results["rows"]
    ]
    return "\n".join([*lines, ""])


def figures_table(results: dict[str, Any]) -> str:
    """Return the figures and their verdicts as a Markdown table."""
    lines = ["| figure | measured | must | goal | holds |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['figure']} | {row['value']:g} | {row['must']} | {row['goal']} "
        f"| {'yes' if row['holds'] else 'no'} |"
        for row in results["figures"]
    ]
    return "\n".join([*lines, ""])


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw fine-tune steps per second over N, one line per run and width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for result in results:
        for width in sorted({row["width"] for row in result["rows"]}):
            rows = [row for row in result["rows"] if row["width"] == width]
            stacked = [row for row in rows if row["name"].startswith("stacked")]
            (line,) = axes.plot(
                [row["runs"] for row in stacked],
                [row["steps_per_second"] for row in stacked],
                "o-",
                label=f"stacked, width {width}, {result['device']}, {result['precision']}",
            )
            bare = next(row for row in rows if row["name"] == "bare loop")
            axes.axhline(
                bare["steps_per_second"],
                color=line.get_color(),
                linestyle=":",
                label=f"bare loop, width {width}, {result['device']}",
            )
    axes.set(xscale="log", yscale="log", xlabel="fine-tunes at once", ylabel="steps per second")
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _mebibytes(number: int | None) -> str:
    return "–" if number is None else f"{number / 2**20:,.0f} MiB"
