"""Learning curves of training runs, against fine-tunes and against minutes.

l2o study learning_curves runs/asg-base "runs/other=with another anchor" --out docs/learning
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from l2o.benchmarks.report.figures.style import INK, LOOKS, Look, new_figure, tidy
from l2o.configs.compare import differences
from l2o.configs.load import load_config
from l2o.files.atomic import write_atomically
from l2o.files.jsonl import read_rows
from l2o.files.streams import forgive_encodings
from l2o.policies.common.metrics import REMEDY

SMOOTH = 9
"""Iterations in the running mean of the training's own accuracies, each of other tasks."""

_KEPT = ("episodes", "elapsed_seconds", "return", "target_accuracy", "approx_kl", "evaluation")


def read_run(run: Path, label: str | None = None) -> dict[str, Any]:
    """Return what a training run's `metrics.jsonl` and config tell.

    Raises:
        FileNotFoundError: the folder holds no training run.
        DamagedFileError: a row is not what was written.

    Example:
        >>> read_run(Path("runs/asg-base"))["rows"][0]["episodes"]  # doctest: +SKIP
        256
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} holds no metrics.jsonl; give the folder of an l2o train run"
        )
    rows = [{key: line[key] for key in _KEPT if key in line} for line in read_rows(path, REMEDY)]
    return {"label": label or run.name, "rows": rows}


def draw(runs: Sequence[dict[str, Any]]) -> Figure:
    """Draw the curves: lines of the training itself (running mean), points of the evaluations."""
    figure = new_figure(9.0, 5.0)
    axes = figure.subplots(1, 2, sharey=True)
    spans = (("episodes", 1.0, "fine-tunes"), ("elapsed_seconds", 60.0, "minutes"))
    looks = [Look(INK, "o", "-"), *(Look(*look) for look in LOOKS)]
    for run, look in zip(runs, looks, strict=False):
        accuracy = 100 * _smooth([row.get("target_accuracy", np.nan) for row in run["rows"]])
        for ax, (key, unit, _) in zip(axes, spans, strict=True):
            x = np.array([row[key] for row in run["rows"]]) / unit
            line = {"color": look.color, "linestyle": look.linestyle, "alpha": 0.6}
            ax.plot(x, accuracy, linewidth=1.0, **line)
            points = [(at, r["evaluation"]) for at, r in zip(x, run["rows"]) if "evaluation" in r]
            at, value = np.array(points).reshape(-1, 2).T
            ax.plot(at, 100 * value, label=run["label"], **look.as_dict())
    for ax, (_, _, name) in zip(axes, spans, strict=True):
        tidy(ax)
        ax.set_xlabel(name)
    axes[0].set_ylabel("target accuracy, %")
    handles, labels = axes[0].get_legend_handles_labels()
    title = "thin: while learning; marked: evaluations"
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _smooth(values: Sequence[float]) -> NDArray[np.float64]:
    known = np.asarray(values, np.float64)
    half = SMOOTH // 2
    parts = [known[max(0, i - half) : i + half + 1] for i in range(len(known))]
    return np.array([np.nanmean(part) if np.isfinite(part).any() else np.nan for part in parts])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN[=LABEL]")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    parts = [text.partition("=") for text in given.runs]
    runs = [read_run(Path(run), label or None) for run, _, label in parts]
    first = load_config("train", Path(parts[0][0]) / "config.yaml")
    for (run, _, _), told in zip(parts, runs, strict=True):
        own = load_config("train", Path(run) / "config.yaml")
        told["differs"] = differences(first, own)
    given.out.mkdir(parents=True, exist_ok=True)
    write_atomically(given.out / "learning.json", json.dumps({"runs": runs}, indent=1) + "\n")
    draw(runs).savefig(given.out / "learning.png", dpi=150)
    print(given.out / "learning.png")


if __name__ == "__main__":
    main()
