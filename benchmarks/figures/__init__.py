"""The figures of a benchmark's report: one per file, each drawn from the results alone."""

from collections.abc import Callable

from matplotlib.figure import Figure

from l2o.benchmarks.figures.accuracy_by_base_lr import draw_accuracy_by_base_lr
from l2o.benchmarks.figures.accuracy_over_training import draw_accuracy_over_training
from l2o.benchmarks.figures.kept import draw_kept
from l2o.benchmarks.figures.multipliers import draw_multipliers
from l2o.benchmarks.figures.proxy_kl_over_training import draw_proxy_kl_over_training
from l2o.benchmarks.figures.samples import draw_samples
from l2o.benchmarks.figures.scores import draw_scores
from l2o.benchmarks.results import Results

FIGURES: dict[str, Callable[[Results], Figure | None]] = {
    "accuracy_by_base_lr": draw_accuracy_by_base_lr,
    "scores": draw_scores,
    "kept": draw_kept,
    "multipliers": draw_multipliers,
    "accuracy_over_training": draw_accuracy_over_training,
    "proxy_kl_over_training": draw_proxy_kl_over_training,
    "samples": draw_samples,
}
"""File stem -> what draws it; None means that the results do not hold what it shows."""

__all__ = ["FIGURES"]
