"""What the words and numbers of a report mean."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.comparisons.table.summary import NEAR_CHANCE

_DEFINITIONS = (
    (
        "target accuracy",
        "accuracy on real test images of the target, at the end of the fine-tune. They are never "
        "trained on and, but for the oracle, never selected by.",
    ),
    (
        "proxy kept",
        "accuracy of the pretrained model's own head on the fine-tuned backbone, on held-out "
        "images of what it was pretrained on.",
    ),
    ("source", "accuracy on held-out synthetic images: what a user sees."),
    (
        "estimates",
        "interquartile means: the mean of the middle half of all runs on all tasks (Agarwal et "
        "al., 2021).",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples of the runs within each task. "
        "They cover the chance in the runs (new head, batches), not the choice of tasks, and with "
        "few seeds they are somewhat too narrow.",
    ),
    (
        "default base LR",
        "the base learning rate that the task gives (or the nearest to it that was run), not tuned "
        "for any row. The first columns of the results are at this one.",
    ),
    (
        "mean over base LRs",
        "each run's score is its mean over all base-LR factors (the user guessed wrong by up to "
        "that much, either way); failures at extreme rates count in full.",
    ),
    (
        "paired differences",
        "means of the differences between runs that share task, seed (head and batches) and base "
        "learning rate. Every run counts, also those at chance. A claim holds when the whole "
        "interval is above zero.",
    ),
    (
        "new tasks",
        "the interval of a paired difference when the tasks are resampled, too (two-stage "
        "bootstrap): what to expect on other tasks of the family. Wide where tasks differ.",
    ),
    (
        "tuned by source validation",
        "the best setting per task by accuracy on held-out synthetic images, ties by the lower "
        "loss there, means over seeds: what a user can do.",
    ),
    (
        "tuned by target accuracy (oracle)",
        "the best setting per task by the target accuracy itself, which no user has. It is the "
        "maximum of noisy means, scored by the same runs: optimistic. Paired with the learned "
        "policy at the default base LR, on the same tasks and seeds.",
    ),
    ("at chance", "target accuracy of at most {near_chance:g} × chance{limit}."),
    (
        "diverged",
        "the loss became infinite or not a number. Images to which the network then gives no "
        "finite answer count as wrong, so that accuracy may be below chance.",
    ),
    (
        "learned policy",
        "one policy, the same for every task and base learning rate; never tuned on a task.",
    ),
)


def define(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the definitions that a reader of the report needs: word, meaning."""
    chance = data["chance"]
    values = {
        "resamples": data["bootstrap"]["resamples"],
        "near_chance": NEAR_CHANCE,
        "limit": "" if chance is None else f", here {100 * NEAR_CHANCE * chance:.0f} %",
    }
    return [(word, meaning.format(**values)) for word, meaning in _DEFINITIONS]
