"""The figures of a table's report, each drawn from its folder alone."""

from collections.abc import Callable

from matplotlib.figure import Figure

from l2o.benchmarks.comparisons.table.figures.multipliers import (
    draw_action_behaviour,
    draw_multipliers,
)
from l2o.benchmarks.comparisons.table.figures.over_training import (
    draw_proxy_kl_over_training,
    draw_score_over_training,
)
from l2o.benchmarks.comparisons.table.figures.rows import (
    draw_kept,
    draw_score_by_base_lr,
    draw_untuned_and_tuned,
)
from l2o.benchmarks.comparisons.table.figures.samples import draw_samples
from l2o.benchmarks.comparisons.table.result_models import TableFolder

FIGURES: dict[str, Callable[[TableFolder], Figure | None]] = {
    "accuracy_by_base_lr": draw_score_by_base_lr,
    "scores": draw_untuned_and_tuned,
    "kept": draw_kept,
    "multipliers": draw_multipliers,
    "action_behaviour": draw_action_behaviour,
    "accuracy_over_training": draw_score_over_training,
    "proxy_kl_over_training": draw_proxy_kl_over_training,
    "samples": draw_samples,
}
"""File stem -> what draws it; title and caption are in `report/templates/table.md`."""

__all__ = ["FIGURES"]
