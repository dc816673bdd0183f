"""Permutation importance of a policy's signals, on tasks of the meta-training split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2o.benchmarks.report.figures.style import INK, LOOKS, legend_below, new_figure, tidy
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table, points, show
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies import options
from l2o.benchmarks.studies.base import SharedStudy
from l2o.benchmarks.studies.portrait.permutation import Variant, list_variants
from l2o.benchmarks.studies.portrait.player import Outcome, Player
from l2o.benchmarks.studies.portrait.study import add_sections
from l2o.configs.load import check_config, config_data, load_policy_training
from l2o.configs.overrides import apply_overrides
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import load_bundle, read_card
from l2o.files.atomic import write_atomically

QUICK_FINE_TUNES, QUICK_STEPS = 4, 40


@dataclass(frozen=True, kw_only=True)
class Row:
    """What permuting a signal, or a group of signals, costs.

    Attributes:
        among: "layers" of each network, or "fine-tunes".
        tells: false where no decision changed: what is the same in all fine-tunes cannot be judged
            by permuting it among them.
        loss: accuracy without permutation minus accuracy with it.
        log10_change: mean absolute change of log10 multipliers.
    """

    name: str
    signals: Sequence[str]
    among: str
    tells: bool
    loss: Estimate
    log10_change: Estimate
    accuracy: float
    diverged: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The rows, the costliest first, over the same episodes; accuracy without permutation."""

    split: str = "train"
    fine_tunes: int
    seed: int
    resamples: int
    accuracy: float
    diverged: int
    config: Mapping[str, Any]
    rows: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class Importance(SharedStudy[Variant | None, Outcome, Answer]):
    """What permuting each of a policy's signals costs, on tasks of the meta-training split.

    Every row plays the same episodes, drawn as in training; intervals are over fine-tunes, in
    pairs. Writes `importance.png`, `importance.md`, and a section of `results.json`.
    """

    examples = ("l2o study importance asg-base --fine-tunes 32 --out runs/importance",)
    policy: options.PolicyName
    overrides: options.Overrides = ()
    out: options.Out
    config: Annotated[str | None, options.text("Where the policy's card has none.")] = None
    fine_tunes: Annotated[int, options.count("At once, for each row.", 2)] = 64
    seed: options.Seed = 0
    resamples: Annotated[int, options.count("Of the bootstrap.")] = 2000
    workers: options.Workers = 1
    quick: options.Quick = False

    @property
    def count(self) -> int:
        """Fine-tunes of each row."""
        return QUICK_FINE_TUNES if self.quick else self.fine_tunes

    def training(self) -> TrainConfig:
        """Return how the policy was trained."""
        short = (f"finetuning.steps={QUICK_STEPS}",) if self.quick else ()
        return training_config(self.policy, self.config, (*self.overrides, *short))

    def plan(self) -> list[Variant | None]:
        """Return nothing permuted, then each group of signals, then each signal."""
        signals = load_bundle(self.policy).signals
        return [None, *list_variants(signals, singles=not self.quick)]

    def run(self, piece: Variant | None) -> Outcome:
        """Play all episodes."""
        return _player(self).play(piece)

    def summarise(self, found: Sequence[Outcome]) -> Answer:
        """Hold each variant against nothing permuted."""
        first, *others = found
        rows = [
            self._row(variant, outcome, first)
            for variant, outcome in zip(self.plan()[1:], others, strict=True)
            if variant is not None
        ]
        return Answer(
            fine_tunes=self.count,
            seed=self.seed,
            resamples=self.resamples,
            accuracy=round(float(first.accuracy.mean()), 6),
            diverged=first.diverged,
            config=self.training().model_dump(mode="json"),
            rows=sorted(rows, key=lambda row: -row.loss.value),
        )

    def _row(self, variant: Variant, outcome: Outcome, first: Outcome) -> Row:
        loss, change = (
            estimate(values[None], mean, TASKS, resamples=self.resamples, seed=self.seed)
            for values in (first.accuracy - outcome.accuracy, outcome.change)
        )
        return Row(
            name=variant.name,
            signals=variant.signals,
            among="layers" if variant.among_layers else "fine-tunes",
            tells=bool(outcome.change.any()),
            loss=loss,
            log10_change=change,
            accuracy=round(float(outcome.accuracy.mean()), 6),
            diverged=outcome.diverged,
        )

    def tables(self, answer: Answer) -> list[Table]:
        """Return a row per group and signal; groups are strong."""
        return [importance_table(answer)]

    def pictures(self, answer: Answer) -> dict[Path, Figure]:
        """Return the figure."""
        return {self.out / "importance.png": draw_importance(answer)}

    def write(self, answer: Answer) -> None:
        """Write the table and the numbers."""
        add_sections(self.out, self.policy, {"importance": answer})
        write_atomically(self.out / "importance.md", to_markdown(importance_table(answer)))


@lru_cache(maxsize=1)
def _player(study: Importance) -> Player:
    return Player(study.training(), load_bundle(study.policy), study.count, study.seed)


def training_config(
    policy: str, source: str | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """Return how a policy was trained: what its card says, or a config in its place.

    Raises:
        ValueError: the card does not say, and there is no config.
        ConfigError: wrong fields.
    """
    if source is not None:
        return load_policy_training(source, overrides)
    found = read_card(policy).get("config")
    if not isinstance(found, dict):
        raise ValueError(
            f"the card of {policy!r} has no 'config', so how it was trained is not known; give its "
            "training config: --config PRESET or --config FILE.yaml"
        )
    where = f"the card of {policy}"
    config = check_config(TrainConfig, found, where)
    if not overrides:
        return config
    changed = apply_overrides(config_data(config), overrides)
    return check_config(TrainConfig, changed, f"{where} with {' '.join(overrides)}")


def importance_table(answer: Answer) -> Table:
    """Return the table: a row per group and signal, the costliest first."""
    note = (
        f"Final accuracy on real validation images of the meta-training split, "
        f"{answer.fine_tunes} fine-tunes drawn as in training; without permutation "
        f"{100 * answer.accuracy:.1f} %. Loss in points, with a 95 % bootstrap interval over "
        "paired fine-tunes; no correction for the number of rows. Layer signals are permuted among "
        "the layers of each network, all others among fine-tunes. – where no decision changed: "
        "what is the same in all fine-tunes cannot be judged so."
    )
    columns: dict[str, Callable[[Row], str]] = {
        "permuted": lambda row: row.name,
        "loss of accuracy": lambda row: points(row.loss if row.tells else None),
        "change of log10 multiplier": lambda row: show(
            row.log10_change if row.tells else None, ".3f"
        ),
        "diverged": lambda row: str(row.diverged),
    }
    title, groups = "Permutation importance", lambda row: len(row.signals) > 1
    return Table.of(title, answer.rows, columns, note, strong=groups)


def draw_importance(answer: Answer) -> Figure:
    """Draw loss of accuracy beside change of the multipliers, for all rows that tell something."""
    rows = [row for row in answer.rows if row.tells]
    figure = new_figure(8.6, 1.6 + 0.24 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    groups = [len(row.signals) > 1 for row in rows]
    _draw_column(left, groups, [row.loss for row in rows], 100.0)
    _draw_column(right, groups, [row.log10_change for row in rows], 1.0)
    left.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_xlabel("loss of target accuracy, points")
    right.set_xlabel("change of log10 multiplier")
    title = f"permuted in {answer.fine_tunes} fine-tunes of meta-training tasks"
    left.set_title(title, fontsize=10)
    legend_below(figure, left)
    return figure


def _draw_column(
    axes: Axes, groups: Sequence[bool], found: Sequence[Estimate], scale: float
) -> None:
    looks = (("group of signals", True, INK, "o"), ("one signal", False, *LOOKS[0][:2]))
    for label, is_group, colour, marker in looks:
        if at := [i for i, group in enumerate(groups) if group is is_group]:
            ends = np.array([[found[i].low, found[i].value, found[i].high] for i in at]).T
            low, value, high = scale * ends
            spread = np.clip(np.stack([value - low, high - value]), 0.0, None)
            look: dict[str, Any] = {"color": colour, "markersize": 4.5, "elinewidth": 1.4}
            axes.errorbar(value, at, xerr=spread, label=label, fmt=marker, **look)
    axes.axvline(0.0, color="#777777", linewidth=0.8)
    tidy(axes)
