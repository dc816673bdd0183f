"""What the words and numbers of a zero-shot report mean."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.comparisons.table.summary import NEAR_CHANCE
from l2o.benchmarks.comparisons.zero_shot.scores import CROSS_FITTED, OTHER_TASKS

_DEFINITIONS = (
    (
        "target accuracy",
        "accuracy on real test images of the target, at the end of the fine-tune. They are never "
        "trained on and, but for the oracle, never selected by.",
    ),
    (
        "family",
        "a distribution of held-out tasks and the way they are fine-tuned. Unseen ones have an "
        "architecture, an optimizer or a kind of data that the policy was never learned on.",
    ),
    (
        "default base LR",
        "the base learning rate that the family gives, not tuned for any row.",
    ),
    (
        "mean over base LRs",
        "each run's score is its mean over all base-LR factors, the default included; failures at "
        "extreme rates count in full, since the mean comes before any trimming.",
    ),
    (
        "estimates",
        "interquartile means over the runs of all tasks of all families: a quarter of the runs is "
        "trimmed at each end (Agarwal et al., 2021). A difference is that of two such means, over "
        "the same tasks.",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples: families are strata, within "
        "each the tasks are drawn with replacement, each with its runs of both sides, and with "
        "what tuning chose for it. They cover the choice of tasks, not that of families.",
    ),
    (
        "grid tuned by source validation",
        "for each task, the setting of the grid of {points} with the highest accuracy on held-out "
        "synthetic images, ties by the lower loss there, then by the grid's order; means over "
        "seeds. It is what a user can do. It has one score, whatever base LR the user guessed: the "
        "grid holds its own base LRs.",
    ),
    (
        "grid tuned by target accuracy (oracle)",
        "the same, chosen by the target accuracy itself, which no user has. It is the maximum of "
        "noisy scores, scored by the same runs: optimistic.",
    ),
    (
        CROSS_FITTED,
        "the setting that is best on one half of the target's test images (of every class), scored "
        "on the other half, and the other way round; the mean of both. Still no user's choice, but "
        "without the optimism of a maximum that is scored by what it was chosen by. No claim is "
        "held against it.",
    ),
    (
        OTHER_TASKS,
        "the one setting of the grid that is best on all other tasks of the family, by the target "
        "accuracy that no user has, scored on the task that is left out. What a schedule gains "
        "by knowing the family, but not the task; what the oracle gains beyond it takes a look at "
        "the task's own target. No claim is held against it.",
    ),
    (
        "untuned",
        "one fine-tune at the base LR as guessed, with no look at validation.",
    ),
    (
        "at chance",
        "target accuracy of at most {near_chance:g} × chance. Counted for each fine-tune, at each "
        "base LR, on its own.",
    ),
    (
        "diverged",
        "the loss became infinite or not a number. Images to which the network then gives no "
        "finite answer count as wrong.",
    ),
    (
        "P(better)",
        "the probability that a run of the one is better than a run of the other on the same task, "
        "ties counted half; the mean over tasks.",
    ),
    (
        "performance profile",
        "the share of runs that reach at least a target accuracy. A curve that lies above another "
        "one everywhere is better throughout.",
    ),
)


def define(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the definitions that a reader of the report needs: word, meaning."""
    values = {
        "resamples": data["bootstrap"]["resamples"],
        "points": data["counts"]["grid_points"],
        "near_chance": NEAR_CHANCE,
    }
    return [(word, meaning.format(**values)) for word, meaning in _DEFINITIONS]
