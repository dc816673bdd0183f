"""A simulator's parameters over learning: a band for each number, areas for each choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import BLUE, GREY, INK, ORANGE, new_figure
from l2o.envs.simulators import Categorical, Space
from l2o.envs.simulators.distributions import PointDistribution, Structured
from l2o.envs.simulators.distributions.written import distribution_of

COLUMNS = 4
SCENARIOS = "scenarios"
"""Title of the panel that has the weights of a mixture's parts."""


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
    titles = [*([SCENARIOS] if scenario_weights(made) else []), *space]
    lines = -(-len(titles) // COLUMNS)
    figure = new_figure(2.9 * COLUMNS, 1.9 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title, fontsize=9, color=INK)
        if title == SCENARIOS:
            _draw_shares(axes, trials, scenario_weights(made))
        elif isinstance(space[title], Categorical):
            _draw_shares(axes, trials, [each.shares(title) for each in made])
        else:
            _draw_band(
                axes, trials, space[title], [each.ends(title) or (0.0, 0.0) for each in made]
            )
        axes.tick_params(labelsize=7, colors=INK)
    for axes in panels[len(titles) :]:
        axes.set_visible(False)
    return figure


def scenario_weights(made: Sequence[PointDistribution]) -> list[dict[str, float]]:
    """Return the weights of scenarios; empty where some distribution has none."""
    own = [each.weights for each in made if isinstance(each, Structured)]
    return own if len(own) == len(made) else []


def _draw_shares(axes: Any, trials: Sequence[int], shares: Sequence[Mapping[str, float]]) -> None:
    stacked = [[found[choice] for found in shares] for choice in shares[0]]
    axes.stackplot(trials, stacked, labels=[*shares[0]], alpha=0.7)
    axes.legend(fontsize=6, loc="lower left")
    axes.set_ylim(0, 1)


def _draw_band(
    axes: Any, trials: Sequence[int], dimension: Any, ends: Sequence[tuple[float, float]]
) -> None:
    low, high = ([pair[end] for pair in ends] for end in (0, 1))
    axes.fill_between(trials, low, high, color=BLUE, alpha=0.35, linewidth=0)
    axes.plot(trials, [(a + b) / 2 for a, b in ends], color=BLUE)
    axes.axhline(float(dimension.default), color=ORANGE, linestyle=":", linewidth=1.2)
    axes.set_ylim(float(dimension.low), float(dimension.high))


def draw_rewards(trials: Sequence[int], mean: Sequence[float], best: Sequence[float]) -> Figure:
    """Draw what trials of each iteration were worth: their mean, and the best of them."""
    figure = new_figure(7.0, 3.2)
    axes = figure.subplots()
    axes.plot(trials, best, color=GREY, label="best of the iteration")
    axes.plot(trials, mean, color=BLUE, label="mean of the iteration")
    axes.set(xlabel="fine-tunes spent", ylabel="reward")
    axes.legend(fontsize=8)
    return figure
