"""`importance.png` and its table: what permuting signals costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import INK, LOOKS, legend_below, new_figure, tidy
from l2o.benchmarks.report.tables import UNKNOWN, Table, points
from l2o.benchmarks.statistics import Estimate
from l2o.benchmarks.studies.portrait.results import Record


def importance_table(section: Record) -> Table:
    """Return the table: a row per group and signal, the costliest first; groups are strong."""
    rows = [
        (
            row["name"],
            points(Estimate.from_json(row["loss"])) if row["tells"] else UNKNOWN,
            _plain(row["log10_change"]) if row["tells"] else UNKNOWN,
            str(row["diverged"]),
        )
        for row in section["rows"]
    ]
    note = (
        f"Final accuracy on real validation images of the meta-training split, "
        f"{section['fine_tunes']} fine-tunes drawn as in training; without permutation "
        f"{100 * section['accuracy']:.1f} %. Loss in points, with a 95 % bootstrap interval over "
        "paired fine-tunes; no correction for the number of rows. Layer signals are permuted among "
        "the layers of each network, all others among fine-tunes. – where no decision changed: "
        "what is the same in all fine-tunes cannot be judged so."
    )
    groups = frozenset(i for i, row in enumerate(section["rows"]) if len(row["signals"]) > 1)
    columns = ("permuted", "loss of accuracy", "change of log10 multiplier", "diverged")
    return Table("Permutation importance", columns, rows, note, groups)


def _plain(found: Record) -> str:
    text = f"{found['value']:.3f}"
    if found["low"] is None:
        return text
    return f"{text} [{found['low']:.3f}, {found['high']:.3f}]"


def draw_importance(section: Record) -> Figure:
    """Draw loss of accuracy beside change of the multipliers, a line per group and signal.

    Rows that tell nothing are left out.
    """
    rows = [row for row in section["rows"] if row["tells"]]
    figure = new_figure(8.6, 1.6 + 0.24 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_column(left, rows, "loss", 100.0)
    _draw_column(right, rows, "log10_change", 1.0)
    left.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_xlabel("loss of target accuracy, points")
    right.set_xlabel("change of log10 multiplier")
    count = section["fine_tunes"]
    left.set_title(f"permuted in {count} fine-tunes of meta-training tasks", fontsize=10)
    legend_below(figure, left)
    return figure


def _draw_column(axes: Axes, rows: list[Record], key: str, scale: float) -> None:
    for label, is_group, colour, marker in (
        ("group of signals", True, INK, "o"),
        ("one signal", False, *LOOKS[0][:2]),
    ):
        at = [i for i, row in enumerate(rows) if (len(row["signals"]) > 1) is is_group]
        if not at:
            continue
        found: Any = np.array(
            [[rows[i][key][end] for end in ("low", "value", "high")] for i in at], np.float64
        )
        low, value, high = scale * found.T
        ends = np.clip(np.stack([value - low, high - value]), 0.0, None)
        look: dict[str, Any] = {
            "color": colour,
            "fmt": marker,
            "markersize": 4.5,
            "elinewidth": 1.4,
        }
        axes.errorbar(value, at, xerr=ends, label=label, **look)
    axes.axvline(0.0, color="#777777", linewidth=0.8)
    tidy(axes)
