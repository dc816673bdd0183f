"""The figures of a table's report, each drawn from its folder alone."""

from l2o.benchmarks.comparisons.table.figures.accuracy_by_base_lr import draw_accuracy_by_base_lr
from l2o.benchmarks.comparisons.table.figures.kept import draw_kept
from l2o.benchmarks.comparisons.table.figures.multipliers import (
    draw_action_behaviour,
    draw_multipliers,
)
from l2o.benchmarks.comparisons.table.figures.over_training import (
    draw_proxy_kl_over_training,
    draw_score_over_training,
)
from l2o.benchmarks.comparisons.table.figures.samples import draw_samples
from l2o.benchmarks.comparisons.table.figures.untuned_and_tuned import draw_untuned_and_tuned
from l2o.benchmarks.comparisons.table.result_models import TableFolder
from l2o.benchmarks.report.figures.base import Drawing

FIGURES: dict[str, Drawing[TableFolder]] = {
    "accuracy_by_base_lr": Drawing(
        draw_accuracy_by_base_lr,
        "How wrong may the base learning rate be?",
        "Target accuracy (interquartile mean, 95 % interval) at each base learning rate. "
        "A flat line needs no tuning.",
    ),
    "scores": Drawing(
        draw_untuned_and_tuned,
        "Untuned and tuned",
        "Interquartile means with 95 % intervals. Of a large grid, only the best schedules are "
        "shown.",
    ),
    "kept": Drawing(
        draw_kept,
        "What is gained, and what is forgotten",
        "Target accuracy against the proxy accuracy that is kept, at the default base learning "
        "rate (or the nearest to it that was run); interquartile means, bars are 95 % intervals. "
        "Up and to the right is better.",
    ),
    "multipliers": Drawing(
        draw_multipliers,
        "Action behaviour",
        "Multiplier on the base learning rate per layer group, from the input to the head: "
        "geometric mean over all runs, with the band that holds 80 % of them. A frozen layer "
        "(multiplier 0) has no line.",
    ),
    "action_behaviour": Drawing(
        draw_action_behaviour,
        "Action behaviour, per policy",
        "Factor on the base learning rate per layer group, for policies that only lower it: mean "
        "over all runs, with the band that holds 80 % of them.",
    ),
    "accuracy_over_training": Drawing(
        draw_score_over_training,
        "Accuracy over training",
        "Target accuracy during the fine-tune: median over all runs, with the band that holds the "
        "middle half of them.",
    ),
    "proxy_kl_over_training": Drawing(
        draw_proxy_kl_over_training,
        "Proxy KL over training",
        "KL divergence of the proxy head's prediction on the fine-tuned backbone from the "
        "pretrained model's, on source images: median over all runs, with the "
        "middle half. Zero, as with a frozen backbone, is off the log axis.",
    ),
    "samples": Drawing(
        draw_samples,
        "The data",
        "The proxy's own domain, the synthetic source and the real target of the first task.",
    ),
}
"""File stem -> what draws it, its title and its caption."""

__all__ = ["FIGURES", "Drawing"]
