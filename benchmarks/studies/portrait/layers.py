"""How layer groups look in a portrait: the head in one colour, the backbone graded by depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l2o.benchmarks.statistics import Array
from l2o.benchmarks.studies.portrait.results import Record

HEAD = "#D55E00"
LONGEST = 5
"""Panels side by side."""


def backbone_colour(share: float) -> Any:
    """Return the colour of a backbone layer: share 0 is the first, 1 the last one."""
    return colormaps["viridis"](0.88 * share)


def log_multipliers(record: Record) -> Array:
    """Return log10 multipliers `[decisions, groups]`; NaN where a layer was frozen."""
    rates = record["learning_rates"]
    values = np.array(rates["multipliers"], dtype=np.float64).reshape(-1, len(rates["groups"]))
    return np.log10(np.where(values > 0, values, np.nan))


def parts(record: Record, logs: Array) -> dict[str, Array]:
    """Return the means over the head's groups and over the backbone's, `[decisions]` each.

    Example:
        >>> parts({"heads": [False, False, True]}, np.array([[0.0, -2.0, 1.0]]))
        {'head': array([1.]), 'backbone': array([-1.])}
    """
    heads = np.array(record["heads"])
    chosen = {"head": logs[:, heads], "backbone": logs[:, ~heads]}
    return {name: mean_known(values) for name, values in chosen.items() if values.size}


def mean_known(values: Array) -> Array:
    """Return the mean over the last axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(known.any(axis=-1), total / np.maximum(known.sum(axis=-1), 1), np.nan)


def draw_held(axes: Axes, record: Record, logs: Array, **look: Any) -> None:
    """Draw 10 ** logs `[decisions]` over training progress, each held until the next decision."""
    at = np.array([*record["learning_rates"]["step"], _end(record)]) / record["steps"]
    axes.step(at, 10.0 ** np.append(logs, logs[-1:]), where="post", **look)


def draw_groups(axes: Axes, record: Record) -> None:
    """Draw the multipliers of every layer group."""
    logs = log_multipliers(record)
    if not len(logs):
        return
    depth = np.cumsum([not head for head in record["heads"]]) - 1
    for index, head in enumerate(record["heads"]):
        colour = HEAD if head else backbone_colour(depth[index] / max(1, depth[-1]))
        look = {"color": colour, "linewidth": 2.2 if head else 1.3, "zorder": 3 if head else 2}
        draw_held(axes, record, logs[:, index], **look)


def groups_legend(figure: Figure) -> None:
    """Explain the colours of `draw_groups` under the figure."""
    handles = [Line2D([], [], color=HEAD, linewidth=2.2, label="head")]
    for share, label in ((1.0, "backbone, last layer"), (0.5, "middle"), (0.0, "first layer")):
        handles.append(Line2D([], [], color=backbone_colour(share), linewidth=1.5, label=label))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
    )


def task_title(record: Record) -> str:
    """Return which task, on which network."""
    return f"{record['family']} {record['task_seed']}: {record['network']}"


def percent(share: float | None) -> str:
    """Return a share in per cent.

    Example:
        >>> percent(0.614), percent(None)
        ('61.4 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def _end(record: Record) -> int:
    """Return the step at which a fine-tune ended; one that diverged ended early."""
    end: int = record["loss"]["step"][-1]
    return end
