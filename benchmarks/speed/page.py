"""The tables and the figure of a speed run, for the documentation.

python -m l2o.benchmarks.speed page stacked.json --picture docs/figures/stacked.png
python -m l2o.benchmarks.speed page controller.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("results", type=Path, nargs="+", help="JSON files of one command")
    parser.add_argument("--picture", type=Path, help="PNG to draw steps per second over N into")


def run(arguments: argparse.Namespace) -> None:
    """Print the tables, and draw the picture if asked for."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.results]
    for result in results:
        print(TABLES[result["benchmark"]](result))
    if arguments.picture:
        draw(results, arguments.picture)


def stacked_tables(results: dict[str, Any]) -> str:
    """Return all tables of a `stacked` run."""
    title = f"{results['device']}, {results['precision']}:\n"
    return "\n".join([title, rows_table(results), figures_table(results)])


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


def controller_tables(results: dict[str, Any]) -> str:
    """Return all tables of a `controller` run."""
    return "\n".join(
        [
            overhead_table(results),
            decision_table(results),
            other_costs(results),
            figures_table(results),
        ]
    )


def overhead_table(results: dict[str, Any]) -> str:
    """Return what a controller adds to a step, as a Markdown table."""
    lines = [
        "| network | optimizer | mode | K | step, ms | added, % | from whole steps, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        cells = [row["model"], row["optimizer"], f"`{row['mode']}`", str(row["interval"])]
        cells += [
            f"{row['step_ms']:,.0f}",
            _percent(row, "percent"),
            _percent(row, "whole_percent"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def decision_table(results: dict[str, Any]) -> str:
    """Return the times of decisions as a Markdown table."""
    lines = ["| layer groups | decision, µs | reading the parameters, µs |", "|---|---|---|"]
    lines += [
        f"| {row['groups']} | {row['decision_us']:,.0f} | {row['reading_us']:,.0f} |"
        for row in results["decisions"]
    ]
    return "\n".join([*lines, ""])


def other_costs(results: dict[str, Any]) -> str:
    """Return import times, memory and host reads as a Markdown table."""
    lines = ["| what | measured |", "|---|---|"]
    lines += [f"| {name} | {value:,.0f} ms |" for name, value in results["imports_ms"].items()]
    lines += [
        f"| memory held, {row['model']}, `{row['mode']}` | {_mebibytes(row['bytes'])}, "
        f"{row['per_weight']:.2f} times the weights |"
        for row in results["memory"]
    ]
    lines += [
        f"| values read by the host per step between decisions, `{row['mode']}` "
        f"| {row['per_step']:g} |"
        for row in results["host_reads"]
    ]
    return "\n".join([*lines, ""])


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw fine-tune steps per second over N, one line per run and width."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    counts: set[int] = set()
    for result in results:
        for width in sorted({row["width"] for row in result["rows"]}):
            rows = [row for row in result["rows"] if row["width"] == width]
            stacked = [row for row in rows if row["name"].startswith("stacked")]
            counts |= {row["runs"] for row in stacked}
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
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(ScalarFormatter())
    axes.xaxis.set_ticks(sorted(counts), minor=False)
    axes.xaxis.set_ticks([], minor=True)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _mebibytes(number: int | None) -> str:
    return "–" if number is None else f"{number / 2**20:,.0f} MiB"


def _percent(row: dict[str, Any], key: str) -> str:
    low, high = row[f"{key}_interval"]
    return f"{row[key]:.2f} [{low:.2f}, {high:.2f}]"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "stacked": stacked_tables,
    "controller": controller_tables,
}
"""Benchmark -> its tables."""
