"""Target accuracy against the proxy accuracy kept: what is gained, and what is forgotten."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.figures.style import (
    GREY,
    focus,
    in_percent,
    legend_below,
    new_figure,
    tidy,
)


def draw_kept(results: Results) -> Figure | None:
    """Draw a point with both intervals per row, at the default base LR."""
    looks = focus(results, limit=8)
    points = {row["label"]: row["default"] for row in results.rows}
    points = {
        label: block
        for label, block in points.items()
        if None not in (block["proxy_accuracy"]["value"], block["target_accuracy"]["value"])
    }
    if len(points) < 2:
        return None
    figure = new_figure(7.2, 4.8)
    axes = figure.subplots()
    others = [block for label, block in points.items() if label not in looks]
    if others:
        axes.plot(
            [block["proxy_accuracy"]["value"] for block in others],
            [block["target_accuracy"]["value"] for block in others],
            color=GREY,
            marker="o",
            markersize=4,
            linestyle="none",
            label=f"other schedules ({len(others)})",
        )
    for label, look in looks.items():
        if label in points:
            style = look.as_dict() | {"linestyle": "none", "markersize": 8}
            axes.errorbar(**_point(points[label]), label=label, capsize=2.5, elinewidth=1, **style)
    axes.set_xlabel("proxy accuracy kept (what the network knew before)")
    axes.set_ylabel("target accuracy (real images)")
    in_percent(axes.xaxis)
    in_percent(axes.yaxis)
    tidy(axes)
    legend_below(figure, axes)
    return figure


def _point(block: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for axis, metric in (("x", "proxy_accuracy"), ("y", "target_accuracy")):
        found = block[metric]
        value = found["value"]
        low, high = (value if found[end] is None else found[end] for end in ("low", "high"))
        arguments[axis] = [value]
        arguments[f"{axis}err"] = [[max(0.0, value - low)], [max(0.0, high - value)]]
    return arguments
