"""A controller's history in a picture: learning rates per layer group over the steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from l2o.extras import needed_by

with needed_by("controller.plot()"):
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

from l2o.control.history import Decision

MAX_LINES = 10
"""Above this, lines cannot be told apart: groups become the rows of a map."""

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 2)))
_HEAD, _TROUBLE, _FROZEN = "#D55E00", "#B00020", "#e8e8e8"


def plot_history(
    decisions: Iterable[Decision],
    groups: Sequence[str],
    steps: int,
    has_head: bool = True,
    path: str | os.PathLike[str] | None = None,
    guidance: Sequence[str] = (),
) -> Figure:
    """Draw the learning rate of every layer group; with up to 10 groups as lines, else as a map.

    A rate of zero is a gap in a line, and grey on the map. Decisions at which something went wrong
    are marked at the top.

    Args:
        decisions: oldest first; those of another number of groups are left out.
        groups: names, input to head.
        steps: optimizer steps done.
        has_head: whether the last group is the head.
        path: where to write the picture, if anywhere; the ending says in which format.
        guidance: names of guidance terms, whose multipliers come after those of the groups.

    Raises:
        ValueError: there is no decision yet.
    """
    shown = [d for d in decisions if len(d.learning_rates) == len(groups)]
    if not shown:
        raise ValueError("nothing to plot: no decision was taken yet; train a step first")
    rates = np.array([d.learning_rates for d in shown], dtype=np.float64)
    starts = np.array([d.step for d in shown], dtype=np.float64)
    edges = np.append(starts, max(steps, shown[-1].step + 1))
    rates = np.where(rates > 0, rates, np.nan)
    names = _short(groups)
    lines = len(groups) <= MAX_LINES
    height = 3.8 if lines else min(9.0, 1.6 + 0.16 * len(groups))
    figure = Figure(figsize=(7.6, height), layout="constrained")
    axes, below = figure.subplots(), None
    if guidance:
        figure.clear()
        figure.set_figheight(height + 1.6)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(height, 1.6))
    (_draw_lines if lines else _draw_map)(axes, edges, rates, names, has_head)
    _mark_trouble(axes, shown)
    axes.set_xlim(edges[0], edges[-1])
    if below is not None:
        _draw_guidance(below, edges, [d.multipliers[len(groups) :] for d in shown], guidance)
    (axes if below is None else below).set_xlabel("optimizer step")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _draw_lines(axes: Axes, edges: Any, rates: Any, names: Sequence[str], has_head: bool) -> None:
    backbone = max(1, len(names) - 1 - has_head)
    for index, name in enumerate(names):
        head = has_head and index == len(names) - 1
        axes.step(
            edges,
            np.append(rates[:, index], rates[-1, index]),
            where="post",
            color=_HEAD if head else colormaps["viridis"](0.88 * min(1.0, index / backbone)),
            linestyle="-" if head else _DASHES[index % len(_DASHES)],
            linewidth=2.4 if head else 1.6,
            label=name,
        )
    if np.isfinite(rates).any():
        axes.set_yscale("log")
    axes.set_ylabel("learning rate")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    handles, labels = axes.get_legend_handles_labels()
    # From the head down to the input, as the network is drawn.
    axes.legend(
        handles[::-1],
        labels[::-1],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=8,
        handlelength=3.2,
    )


def _draw_guidance(axes: Axes, edges: Any, multipliers: Any, names: Sequence[str]) -> None:
    factors = np.array(multipliers, dtype=np.float64)
    factors = np.where(factors > 0, factors, np.nan)
    for index, name in enumerate(names):
        axes.step(
            edges,
            np.append(factors[:, index], factors[-1, index]),
            where="post",
            color="#555555",
            linestyle=_DASHES[index % len(_DASHES)],
            label=name,
        )
    if np.isfinite(factors).any():
        axes.set_yscale("log")
    axes.set_ylabel("× guidance")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e4e4e4", linewidth=0.7)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)


def _draw_map(axes: Axes, edges: Any, rates: Any, names: Sequence[str], has_head: bool) -> None:
    known = rates[np.isfinite(rates)]
    low, high = (known.min(), known.max()) if known.size else (0.1, 1.0)
    # A single rate has no range, and a log scale needs one.
    norm = LogNorm(low, high if high > low * 1.01 else low * 1.01)
    colors = colormaps["viridis"].with_extremes(bad=_FROZEN)
    rows = np.arange(len(names) + 1) - 0.5
    mesh = axes.pcolormesh(edges, rows, np.ma.masked_invalid(rates.T), norm=norm, cmap=colors)
    every = -(-len(names) // 45)
    ticks = list(range(len(names) - 1, -1, -every))
    axes.set_yticks(ticks, [names[tick] for tick in ticks], fontsize=6.5)
    if has_head:
        axes.get_yticklabels()[0].set_color(_HEAD)
    label = "learning rate" + ("" if np.isfinite(rates).all() else " (grey: 0)")
    axes.figure.colorbar(mesh, ax=axes, label=label, pad=0.02)


def _mark_trouble(axes: Axes, decisions: Sequence[Decision]) -> None:
    steps = [d.step for d in decisions if d.trouble]
    if not steps:
        return
    axes.plot(
        steps,
        [1.0] * len(steps),
        "v",
        color=_TROUBLE,
        markersize=5,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )
    axes.set_title(
        f"▼ the guard stepped in: {len(steps)} of {len(decisions)} decisions",
        fontsize=8,
        color=_TROUBLE,
        loc="left",
        pad=8,
    )


def _short(names: Sequence[str]) -> list[str]:
    """Return names without the module path that the backbone's all begin with.

    Example:
        >>> _short(["bert.embeddings", "bert.encoder.0", "bert.encoder.1", "classifier"])
        ['embeddings', 'encoder.0', 'encoder.1', 'classifier']
    """
    inner = [name.split(".") for name in names if "." in name]
    if len(inner) < 3:
        return list(names)
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*(n[:-1] for n in inner)))
    prefix = ".".join(parts[0] for parts in shared) + "."
    return [name.removeprefix(prefix).replace(".." + prefix, "..") for name in names]
