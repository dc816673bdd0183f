"""The learning curve on held-out tasks: every snapshot of a training run, scored as zero-shot.

python -m l2o.benchmarks.studies.heldout_learning_curves runs/asg-base --out runs/heldout-learning

Nothing may be chosen by it: which snapshot ships is settled by the training's own evaluations.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.kinds import run_benchmark
from l2o.benchmarks.comparisons.table.matrices import gather
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.benchmarks.report.figures.style import INK, LOOKS, Look, new_figure, tidy
from l2o.benchmarks.statistics import TASKS, Strata, estimate
from l2o.configs.load import load_config
from l2o.configs.schema import BenchmarkConfig, Grid, Row
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.bundle import read_card
from l2o.files.jsonl import read_rows
from l2o.files.seals import write_json
from l2o.files.streams import forgive_encodings
from l2o.policies.common.metrics import METRICS, REMEDY
from l2o.policies.train import SNAPSHOTS

OUTPUT = "heldout_learning"


def find_snapshots(run: Path, points: int) -> list[dict[str, Any]]:
    """Return at most `points` snapshots of a run, evenly spread, the first and the last included.

    Returns:
        For each: `policy` (folder), `fine_tunes` and `minutes` of training, and `evaluation`, the
        training's own.

    Raises:
        FileNotFoundError: the run has none.
    """
    folders = sorted(path.parent for path in (run / SNAPSHOTS).glob("*/card.json"))
    if not folders:
        raise FileNotFoundError(f"{run} holds no {SNAPSHOTS}/; give the folder of an l2o train run")
    last = len(folders) - 1
    kept = sorted(
        {round(i * last / max(1, points - 1)) for i in range(points)} & {*range(last + 1)}
    )
    rows = read_rows(run / METRICS, REMEDY)
    seconds = {row["episodes"]: row["elapsed_seconds"] for row in rows}
    return [_snapshot(folders[i], seconds) for i in kept]


def _snapshot(folder: Path, seconds: dict[int, float]) -> dict[str, Any]:
    card = read_card(folder)
    fine_tunes = int(folder.name)
    return {
        "policy": str(folder),
        "fine_tunes": fine_tunes,
        "minutes": round(seconds[fine_tunes] / 60, 2),
        "evaluation": card["results"]["evaluation"]["target_accuracy"],
    }


def snapshot_benchmark(
    config: ZeroShotConfig, family: str, snapshots: Sequence[dict[str, Any]]
) -> BenchmarkConfig:
    """Return the benchmark of one family whose rows are the snapshots, and nothing else."""
    rows = tuple(Row(label=str(s["fine_tunes"]), policy=s["policy"]) for s in snapshots)
    whole = family_config(config, family)
    return whole.model_copy(update={"policy": None, "rows": rows, "grid": Grid()})


def score(
    config: ZeroShotConfig, snapshots: Sequence[dict[str, Any]], out: Path, workers: int | None
) -> list[dict[str, Any]]:
    """Run what is missing, and return the snapshots with what they scored.

    Each gets `scores`: for the default base LR and for the mean over base LRs, the interquartile
    mean of the target accuracy over all families with its 95 % interval (tasks resampled within
    families), and that of each family.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {DEFAULT: {}, MISJUDGED: {}}
    for name in config.families:
        benchmark = snapshot_benchmark(config, name, snapshots)
        run_benchmark(benchmark, out / name, workers=workers)
        records = read_records(out / name / CELLS, Record)
        for row in make_plan(benchmark).rows:
            scores = gather(row, records)
            by = {DEFAULT: scores.at(1.0), MISJUDGED: scores.over(scores.factors)}
            for setting, values in by.items():
                found[setting].setdefault(row.label, {})[name] = values
    return [
        {
            **snapshot,
            "scores": {
                setting: _estimates(rows[str(snapshot["fine_tunes"])], config.bootstrap)
                for setting, rows in found.items()
            },
        }
        for snapshot in snapshots
    ]


def _estimates(families: dict[str, Any], resamples: int) -> dict[str, Any]:
    def told(strata: Strata) -> dict[str, Any]:
        return estimate(strata, design=TASKS, resamples=resamples).to_json()

    return {
        "all": told(list(families.values())),
        "families": {name: told([values]) for name, values in families.items()},
    }


def draw(snapshots: Sequence[dict[str, Any]]) -> Figure:
    """Draw the mean over base LRs against fine-tunes and against minutes, families thin."""
    figure = new_figure(9.0, 4.2)
    axes = figure.subplots(1, 2, sharey=True)
    families = list(snapshots[0]["scores"][MISJUDGED]["families"])
    looks = [Look(*look, linewidth=0.9, markersize=3.0) for look in LOOKS]
    for ax, (key, name) in zip(
        axes, (("fine_tunes", "fine-tunes learned from"), ("minutes", "minutes")), strict=True
    ):
        x = [snapshot[key] for snapshot in snapshots]
        scores = [snapshot["scores"][MISJUDGED] for snapshot in snapshots]
        whole = [each["all"] for each in scores]
        value = [100 * each["value"] for each in whole]
        if all(each["low"] is not None for each in whole):
            low, high = ([100 * each[end] for each in whole] for end in ("low", "high"))
            ax.fill_between(x, low, high, color=INK, alpha=0.12, linewidth=0)
        ax.plot(x, value, label="all families", **Look(INK, "o", "-", linewidth=2.4).as_dict())
        for family, look in zip(families, looks, strict=False):
            own = [100 * each["families"][family]["value"] for each in scores]
            ax.plot(x, own, label=family, **look.as_dict())
        tidy(ax)
        ax.set_xlabel(name)
    axes[0].set_ylabel("target accuracy, %, mean over base LRs")
    axes[1].legend(fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of an l2o train run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", default="zero-shot", help="families, tasks and base LRs")
    parser.add_argument("--points", type=int, default=8, help="snapshots at most")
    parser.add_argument("--workers", type=int)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes of the config")
    given, rest = parser.parse_known_args(arguments)
    if any(word.startswith("-") or "=" not in word for word in rest):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if given.points < 2:
        parser.error(f"--points must be 2 or more, got {given.points}")
    config = load_config("benchmark", given.config, [*given.overrides, *rest])
    if not isinstance(config, ZeroShotConfig):
        parser.error(f"{given.config} has no families; give a zero-shot comparison")
    try:
        found = find_snapshots(given.run, given.points)
    except FileNotFoundError as error:
        parser.error(str(error))
    snapshots = score(config, found, given.out, given.workers)
    told = {"base_lr_factors": config.base_lr_factors, "tasks": config.tasks, "seeds": config.seeds}
    # The folder tells nothing to others.
    kept = [{key: value for key, value in s.items() if key != "policy"} for s in snapshots]
    write_json(given.out / f"{OUTPUT}.json", told | {"run": given.run.name, "snapshots": kept})
    draw(snapshots).savefig(given.out / f"{OUTPUT}.png", dpi=150)
    print(given.out / f"{OUTPUT}.png")


if __name__ == "__main__":
    main()
