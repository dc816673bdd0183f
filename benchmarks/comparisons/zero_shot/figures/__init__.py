"""The figures of a zero-shot report: one per file, each drawn from the results alone."""

from l2o.benchmarks.comparisons.zero_shot.figures.accuracy_by_base_lr import (
    draw_accuracy_by_base_lr,
)
from l2o.benchmarks.comparisons.zero_shot.figures.claims import draw_claims
from l2o.benchmarks.comparisons.zero_shot.figures.profiles import draw_profiles
from l2o.benchmarks.comparisons.zero_shot.result_models import ZeroShotFolder
from l2o.benchmarks.report.figures.base import Drawing

FIGURES: dict[str, Drawing[ZeroShotFolder]] = {
    "claims": Drawing(
        draw_claims,
        "The claims",
        "Differences of interquartile means with 95 % intervals (dots); what each must show "
        "(bars) and what is aimed at (open triangles).",
    ),
    "accuracy_by_base_lr": Drawing(
        draw_accuracy_by_base_lr,
        "How wrong may the base learning rate be?",
        "Target accuracy on each family at each base learning rate: interquartile means, the "
        "policy's with 95 % intervals. Named schedules are the best untuned ones over all "
        "families, in hindsight; all others are grey. The tuned grid has its own base learning "
        "rates, and so one score.",
    ),
    "performance_profiles": Drawing(
        draw_profiles,
        "Performance profiles",
        "Share of the runs of all families that reach at least a target accuracy. Left: at the "
        "default base learning rate; right: each run's mean over base learning rates.",
    ),
}
"""File stem -> what draws it, its title and its caption."""

__all__ = ["FIGURES", "Drawing"]
