"""Learning curves of training runs, against fine-tunes and against minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import INK, LOOKS, Look, new_figure, tidy
from l2o.benchmarks.statistics import Array
from l2o.benchmarks.studies.base import Study, save
from l2o.benchmarks.studies.options import Out
from l2o.configs.compare import differences
from l2o.configs.load import load_policy_training
from l2o.files.jsonl import read_rows
from l2o.policies.common.metrics import METRICS, REMEDY

SMOOTH = 9
"""Iterations in the running mean of the training's own accuracies, each of other tasks."""

_KEPT = ("episodes", "elapsed_seconds", "return", "target_accuracy", "approx_kl", "evaluation")


@dataclass(frozen=True)
class Curve:
    """A training run: rows of its log, and how its config differs from the first run's."""

    label: str
    rows: Sequence[Mapping[str, float]]
    differs: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class LearningCurves(Study[Sequence[Curve]]):
    """Draw learning curves of training runs, against fine-tunes and against minutes.

    Thin lines are the training itself (a running mean), points are its evaluations.
    """

    examples = ('l2o study learning-curves runs/asg-base "runs/other=another anchor" --out docs',)
    runs: Annotated[
        tuple[str, ...], typer.Argument(metavar="RUN[=LABEL]", help="Folders of l2o train.")
    ]
    out: Out

    def answer(self) -> list[Curve]:
        """Read the runs.

        Raises:
            FileNotFoundError: a folder holds no training run.
            DamagedFileError: a row is not what was written.
        """
        parts = [text.partition("=") for text in self.runs]
        configs = [load_policy_training(Path(run) / "config.yaml") for run, _, _ in parts]
        return [
            read_run(Path(run), label or None, differences(configs[0], own))
            for (run, _, label), own in zip(parts, configs, strict=True)
        ]

    def pictures(self, answer: Sequence[Curve]) -> dict[Path, Figure]:
        """Return the figure."""
        return {self.out / "learning.png": draw(answer)}

    def write(self, answer: Sequence[Curve]) -> None:
        """Write the rows beside the figure."""
        save(self.out / "learning.json", {"runs": answer})


def read_run(run: Path, label: str | None = None, differs: Sequence[str] = ()) -> Curve:
    """Return what a training run's log tells.

    Raises:
        FileNotFoundError: the folder holds no training run.
        DamagedFileError: a row is not what was written.

    Example:
        >>> read_run(Path("runs/asg-base")).rows[0]["episodes"]  # doctest: +SKIP
        256
    """
    path = run / METRICS
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no {METRICS}; give the folder of an l2o train run")
    rows = [{key: line[key] for key in _KEPT if key in line} for line in read_rows(path, REMEDY)]
    return Curve(label or run.name, rows, differs)


def draw(runs: Sequence[Curve]) -> Figure:
    """Draw the curves: lines of the training itself (running mean), points of the evaluations."""
    figure = new_figure(9.0, 5.0)
    axes = figure.subplots(1, 2, sharey=True)
    spans = (("episodes", 1.0, "fine-tunes"), ("elapsed_seconds", 60.0, "minutes"))
    looks = [Look(INK, "o", "-"), *(Look(*look) for look in LOOKS)]
    for run, look in zip(runs, looks, strict=False):
        accuracy = 100 * _smooth([row.get("target_accuracy", np.nan) for row in run.rows])
        for ax, (key, unit, _) in zip(axes, spans, strict=True):
            x = np.array([row[key] for row in run.rows]) / unit
            line = {"color": look.color, "linestyle": look.linestyle, "alpha": 0.6}
            ax.plot(x, accuracy, linewidth=1.0, **line)
            points = [(at, r["evaluation"]) for at, r in zip(x, run.rows) if "evaluation" in r]
            at, value = np.array(points).reshape(-1, 2).T
            ax.plot(at, 100 * value, label=run.label, **look.as_dict())
    for ax, (_, _, name) in zip(axes, spans, strict=True):
        tidy(ax)
        ax.set_xlabel(name)
    axes[0].set_ylabel("target accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    title = "thin: while learning; marked: evaluations"
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _smooth(values: Sequence[float]) -> Array:
    known = np.asarray(values, np.float64)
    half = SMOOTH // 2
    parts = [known[max(0, i - half) : i + half + 1] for i in range(len(known))]
    return np.array([np.nanmean(part) if np.isfinite(part).any() else np.nan for part in parts])
