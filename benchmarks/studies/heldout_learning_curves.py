"""The learning curve on held-out tasks: every snapshot of a training run, scored as zero-shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.kinds import run_benchmark
from l2o.benchmarks.comparisons.table.matrices import gather
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.benchmarks.report.figures.style import INK, LOOKS, Look, new_figure, tidy
from l2o.benchmarks.statistics import TASKS, Array, Estimate, estimate
from l2o.benchmarks.studies.base import Study, save
from l2o.benchmarks.studies.options import Out, Overrides, count, text
from l2o.configs.load import load_config
from l2o.configs.schema import BenchmarkConfig, Grid, Row
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.bundle import read_card
from l2o.files.jsonl import read_rows
from l2o.policies.common.metrics import METRICS, REMEDY
from l2o.policies.train import SNAPSHOTS

OUTPUT = "heldout_learning"


@dataclass(frozen=True)
class Scores:
    """Interquartile means of the target accuracy, with intervals: of all families, and of each."""

    all: Estimate
    families: Mapping[str, Estimate]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: its training so far, the training's own evaluation, and its scores by setting.

    Settings are the default base LR and the mean over base LRs.
    """

    fine_tunes: int
    minutes: float
    evaluation: float
    scores: Mapping[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The snapshots of a run, and what they were scored on."""

    base_lr_factors: Sequence[float]
    tasks: int
    seeds: int
    run: str
    snapshots: Sequence[Snapshot]


@dataclass(frozen=True, kw_only=True)
class HeldoutLearningCurves(Study[Answer]):
    """Draw the learning curve of a training run on held-out tasks.

    Every snapshot is scored as in the zero-shot comparison. Nothing may be chosen by it: which
    snapshot ships is settled by the training's own evaluations. Finished fine-tunes are kept in
    the folder.
    """

    examples = ("l2o study heldout-learning-curves runs/asg-base --out runs/heldout tasks=10",)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an l2o train run.")]
    overrides: Overrides = ()
    out: Out
    config: Annotated[str, text("Families, tasks and base LRs.")] = "zero-shot"
    points: Annotated[int, count("Snapshots at most.", 2)] = 8
    workers: Annotated[int | None, count("Processes.")] = None

    def answer(self) -> Answer:
        """Run what is missing, and score all snapshots.

        Raises:
            ValueError: a config without families.
            FileNotFoundError: the run has no snapshots.
        """
        config = load_config("benchmark", self.config, self.overrides)
        if not isinstance(config, ZeroShotConfig):
            raise ValueError(f"{self.config} has no families; give a zero-shot comparison")
        found = find_snapshots(self.run, self.points)
        scores = score(config, found, self.out, self.workers)
        told = [
            Snapshot(each.fine_tunes, each.minutes, each.evaluation, own)
            for each, own in zip(found.values(), scores, strict=True)
        ]
        return Answer(config.base_lr_factors, config.tasks, config.seeds, self.run.name, told)

    def pictures(self, answer: Answer) -> dict[Path, Figure]:
        """Return the figure."""
        return {self.out / f"{OUTPUT}.png": draw(answer.snapshots)}

    def write(self, answer: Answer) -> None:
        """Write the scores beside the figure."""
        save(self.out / f"{OUTPUT}.json", answer)


def find_snapshots(run: Path, points: int) -> dict[Path, Snapshot]:
    """Return at most `points` snapshots of a run by folder, evenly spread, the ends included.

    Raises:
        FileNotFoundError: the run has none.
    """
    folders = sorted(path.parent for path in (run / SNAPSHOTS).glob("*/card.json"))
    if not folders:
        raise FileNotFoundError(f"{run} holds no {SNAPSHOTS}/; give the folder of an l2o train run")
    last = len(folders) - 1
    spread = {round(i * last / max(1, points - 1)) for i in range(points)}
    log = read_rows(run / METRICS, REMEDY)
    seconds = {row["episodes"]: row["elapsed_seconds"] for row in log}
    found = {}
    for folder in (folders[i] for i in sorted(spread & {*range(last + 1)})):
        count = int(folder.name)
        evaluation = read_card(folder)["results"]["evaluation"]["target_accuracy"]
        found[folder] = Snapshot(count, round(seconds[count] / 60, 2), evaluation)
    return found


def snapshot_benchmark(
    config: ZeroShotConfig, family: str, snapshots: Mapping[Path, Snapshot]
) -> BenchmarkConfig:
    """Return the benchmark of one family whose rows are the snapshots, and nothing else."""
    rows = tuple(Row(label=str(s.fine_tunes), policy=str(at)) for at, s in snapshots.items())
    whole = family_config(config, family)
    return whole.model_copy(update={"policy": None, "rows": rows, "grid": Grid()})


def score(
    config: ZeroShotConfig, snapshots: Mapping[Path, Snapshot], out: Path, workers: int | None
) -> list[dict[str, Scores]]:
    """Run what is missing, and return what each snapshot scored, by setting.

    Tasks are resampled within families.
    """
    found: list[dict[str, dict[str, Array]]] = [{DEFAULT: {}, MISJUDGED: {}} for _ in snapshots]
    for name in config.families:
        benchmark = snapshot_benchmark(config, name, snapshots)
        run_benchmark(benchmark, out / name, workers=workers)
        records = read_records(out / name / CELLS, Record)
        for row, own in zip(make_plan(benchmark).rows, found, strict=True):
            scores = gather(row, records)
            own[DEFAULT][name] = scores.at(1.0)
            own[MISJUDGED][name] = scores.over(scores.factors)

    def scored(families: Mapping[str, Array]) -> Scores:
        each = {
            k: estimate(v, design=TASKS, resamples=config.bootstrap) for k, v in families.items()
        }
        return Scores(
            estimate([*families.values()], design=TASKS, resamples=config.bootstrap), each
        )

    return [{setting: scored(families) for setting, families in own.items()} for own in found]


def draw(snapshots: Sequence[Snapshot]) -> Figure:
    """Draw the mean over base LRs against fine-tunes and against minutes, families thin."""
    figure = new_figure(9.0, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    scores = [snapshot.scores[MISJUDGED] for snapshot in snapshots]
    _draw(left, [snapshot.fine_tunes for snapshot in snapshots], scores)
    _draw(right, [snapshot.minutes for snapshot in snapshots], scores)
    left.set_xlabel("fine-tunes learned from")
    right.set_xlabel("minutes")
    left.set_ylabel("target accuracy, %, mean over base LRs")
    right.legend(fontsize=8)
    return figure


def _draw(axes: Axes, x: Sequence[float], scores: Sequence[Scores]) -> None:
    whole = [each.all for each in scores]
    low, high = ([100 * getattr(each, end) for each in whole] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=INK, alpha=0.12, linewidth=0)
    look = Look(INK, "o", "-", linewidth=2.4).as_dict()
    axes.plot(x, [100 * each.value for each in whole], label="all families", **look)
    for family, other in zip(scores[0].families, LOOKS, strict=False):
        own = [100 * each.families[family].value for each in scores]
        look = Look(*other, linewidth=0.9, markersize=3.0).as_dict()
        axes.plot(x, own, label=family, **look)
    tidy(axes)
