"""A simulator's parameters over learning: a band for each number, areas for each choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import BLUE, GREY, INK, ORANGE, new_figure
from l2o.envs.simulators import Categorical, Space
from l2o.envs.simulators.distributions.written import distribution_of

COLUMNS = 4


def draw_parameters(
    space: Space, trials: Sequence[int], distributions: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw where most of the probability of each parameter lies, over the trials spent.

    Args:
        space: of the simulator.
        trials: fine-tunes spent, ascending.
        distributions: as plain data, as they stood then.

    Raises:
        ValueError: not as many distributions as trials.
    """
    if len(trials) != len(distributions):
        raise ValueError(f"{len(trials)} counts but {len(distributions)} distributions; pair them")
    made = [distribution_of(space, each) for each in distributions]
    lines = -(-len(space) // COLUMNS)
    figure = new_figure(2.9 * COLUMNS, 1.9 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axes, (name, dimension) in zip(panels, space.items(), strict=False):
        axes.set_title(name, fontsize=9, color=INK)
        if isinstance(dimension, Categorical):
            shares = [each.shares(name) for each in made]
            stacked = [[found[choice] for found in shares] for choice in dimension.choices]
            axes.stackplot(trials, stacked, labels=dimension.choices, alpha=0.7)
            axes.legend(fontsize=6, loc="lower left")
            axes.set_ylim(0, 1)
            continue
        numeric: Any = dimension
        ends = [each.ends(name) or (0.0, 0.0) for each in made]
        low, high = ([pair[end] for pair in ends] for end in (0, 1))
        axes.fill_between(trials, low, high, color=BLUE, alpha=0.35, linewidth=0)
        axes.plot(trials, [(a + b) / 2 for a, b in ends], color=BLUE)
        axes.axhline(float(numeric.default), color=ORANGE, linestyle=":", linewidth=1.2)
        axes.set_ylim(float(numeric.low), float(numeric.high))
    for axes in panels[len(space) :]:
        axes.set_visible(False)
    for axes in panels[: len(space)]:
        axes.tick_params(labelsize=7, colors=INK)
    return figure


def draw_rewards(trials: Sequence[int], mean: Sequence[float], best: Sequence[float]) -> Figure:
    """Draw what trials of each iteration were worth: their mean, and the best of them."""
    figure = new_figure(7.0, 3.2)
    axes = figure.subplots()
    axes.plot(trials, best, color=GREY, label="best of the iteration")
    axes.plot(trials, mean, color=BLUE, label="mean of the iteration")
    axes.set(xlabel="fine-tunes spent", ylabel="reward")
    axes.legend(fontsize=8)
    return figure
