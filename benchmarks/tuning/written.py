"""What a search leaves in its folder: results, the best config, a report with its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from l2o.benchmarks.report.page import Page, to_picture
from l2o.benchmarks.report.tables import UNKNOWN, Table, Tables
from l2o.benchmarks.report.text import Text
from l2o.benchmarks.tuning.collect import Found, Trial
from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.kinds import Searched
from l2o.benchmarks.tuning.progress import short
from l2o.benchmarks.tuning.trial import Plan
from l2o.configs.load import dump_config
from l2o.files.atomic import write_atomically
from l2o.files.seals import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST, RESULTS = "best.yaml", "results.json"


def write_search(plan: Plan, of: Searched, found: Found) -> None:
    """Write all of it, the results last.

    Raises:
        ValueError: no trial came to anything; the message has the first one's reason. The table of
            all is written before.
    """
    write_report(plan, of, found)
    if found.best is not None:
        text = dump_config(plan.config_of(found.best.params))
        command = f"l2o {plan.config.of} {plan.out / BEST}"
        write_atomically(plan.out / BEST, f"# Trial {found.best.number}: {command}\n{text}")
    write_json(plan.out / RESULTS, results_of(plan, of, found), indent=2)
    if found.best is None:
        raise ValueError(
            f"none of {len(found.trials)} trials came to anything; the first: {found.reason}"
        )


def results_of(plan: Plan, of: Searched, found: Found) -> dict[str, Any]:
    """Return the results as plain data."""
    return {
        "kind": "tune",
        "of": plan.config.of,
        "metric": of.metric,
        "mode": of.mode,
        "length": of.length,
        "steps": found.steps,
        "seconds": round(found.seconds, 1),
        "best": None if found.best is None else _told(of, found.best),
        "trials": [{**_told(of, each), "reports": list(each.reports)} for each in found.trials],
    }


def _told(of: Searched, trial: Trial) -> dict[str, Any]:
    last = trial.reports[-1] if trial.reports else {}
    return {
        "trial": trial.number,
        "params": dict(trial.params),
        "value": last.get(of.metric),
        "step": trial.step,
        "computed": trial.computed,
        "outcome": trial.outcome,
        "changes": [{TIME: step, "params": dict(params)} for step, params in trial.changes],
    }


def table_of(of: Searched, found: Found) -> Table:
    """Return the table of all trials, the best first, what failed at the end."""
    sign = 1.0 if of.mode == "min" else -1.0

    def place(trial: Trial) -> tuple[bool, float, int]:
        told = bool(trial.reports) and not trial.error
        return not told, sign * trial.reports[-1][of.metric] if told else 0.0, trial.number

    names = list(found.trials[0].params) if found.trials else []
    also = _also(of, found)
    rows = [
        (
            str(each.number),
            *(short(each.params.get(name)) for name in names),
            str(each.step),
            *(_last(each, name) for name in (of.metric, *also)),
            each.outcome,
        )
        for each in sorted(found.trials, key=place)
    ]
    columns = ("trial", *names, TIME, *(n.replace("_", " ") for n in (of.metric, *also)), "outcome")
    return Table("Trials", columns, rows, strong=frozenset({0} if found.best else ()))


def _also(of: Searched, found: Found) -> list[str]:
    """Return the metric on the target, where that is known and not what was searched for."""
    name = "target_" + of.metric.removeprefix("source_validation_")
    known = any(name in row for each in found.trials for row in each.reports[-1:])
    return [name] if known and name != of.metric else []


def _last(trial: Trial, name: str) -> str:
    value = trial.reports[-1].get(name) if trial.reports else None
    return UNKNOWN if value is None else f"{value:.4g}"


def write_report(plan: Plan, of: Searched, found: Found) -> None:
    """Write `report.html`, `report.md` and the picture of the search."""
    config = plan.config
    whole = len(found.trials) * of.length
    best = found.best
    named = (
        "No trial came to anything."
        if best is None
        else (
            f"The best of {len(found.trials)} trials is trial {best.number}, with {of.metric} "
            f"{_last(best, of.metric)} after {best.step} of {of.length} steps."
        )
    )
    share = f"{found.steps} steps were computed, {found.steps / max(1, whole):.0%} of those of all "
    text = Text(
        summary=f"{named} {share}trials to the end.",
        footer=f"`l2o {config.of} {plan.out / BEST}` runs the best one's config.",
        units="",
        words=_words(of),
    )
    pictures = [to_picture("search", "The search", _CAPTION, draw_search(of, found))]
    tables = Tables(main=[table_of(of, found)], detail=[])
    Page(config.title, text, tables, pictures).write(plan.out)


_CAPTION = (
    "Left: each trial's value on its way, the best one's in colour. Right: where trials ended, by "
    "each field that was searched over."
)


def _words(of: Searched) -> dict[str, str]:
    words = {
        "stopped early": "by the scheduler, whose place others took.",
        TIME: "optimizer steps of a fine-tune, fine-tunes of a training.",
    }
    if of.metric.startswith("source_validation_"):
        words["chosen by"] = "the source's validation images; the target's labels only inform."
    return words


def draw_search(of: Searched, found: Found) -> Figure:
    """Draw values over steps, and over each field."""
    from matplotlib.figure import Figure

    told = [each for each in found.trials if each.reports]
    names = list(told[0].params)[:4] if told else []
    figure = Figure(figsize=(4.2 + 2.4 * len(names), 3.4), layout="constrained")
    axes = figure.subplots(1, 1 + len(names), squeeze=False)[0]
    for each in told:
        mark = found.best is not None and each.number == found.best.number
        steps = [row[TIME] for row in each.reports]
        values = [row.get(of.metric) for row in each.reports]
        style = {"color": "C1", "zorder": 3, "linewidth": 2} if mark else {"color": "0.7"}
        axes[0].plot(steps, values, marker=".", **style)
    axes[0].set(xlabel=TIME, ylabel=of.metric.replace("_", " "))
    for ax, name in zip(axes[1:], names, strict=True):
        _scatter(ax, of, found, told, name)
    _spare_outliers(axes, of, told)
    return figure


def _scatter(ax: Any, of: Searched, found: Found, told: list[Trial], name: str) -> None:
    values = [each.params.get(name) for each in told]
    found_numbers = [each for each in values if isinstance(each, int | float)]
    numbers = len(found_numbers) == len(values)
    shown: list[Any] = found_numbers if numbers else [short(each)[:18] for each in values]
    lasts = [each.reports[-1].get(of.metric) for each in told]
    ax.scatter(shown, lasts, s=14, color=["0.7" if not each.whole else "C0" for each in told])
    positive = [each for each in found_numbers if each > 0]
    if positive and len(positive) == len(values) and max(positive) > 20 * min(positive):
        ax.set_xscale("log")
    ax.set(xlabel=name.rpartition(".")[2])
    ax.tick_params(axis="x", labelrotation=0 if numbers else 60)


def _spare_outliers(axes: Any, of: Searched, told: list[Trial]) -> None:
    """Let a run that exploded not decide the scale."""
    values = sorted(row[of.metric] for each in told for row in each.reports if of.metric in row)
    sane = [value for value in values if abs(value) < 1e20]
    if sane and len(sane) < len(values):
        room = 0.05 * (sane[-1] - sane[0]) or 1.0
        for ax in axes:
            ax.set_ylim(sane[0] - room, sane[-1] + room)
