"""What the words and numbers of a report mean."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.summary import NEAR_CHANCE


def define(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the definitions that a reader of the report needs: word, meaning."""
    resamples = data["bootstrap"]["resamples"]
    chance = data["chance"]
    limit = "" if chance is None else f", here {100 * NEAR_CHANCE * chance:.0f} %"
    return [
        (
            "target accuracy",
            "accuracy on real test images of the target, at the end of the fine-tune. They are "
            "never trained on and, but for the oracle, never selected by.",
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
            f"95 % percentile-bootstrap intervals, {resamples} resamples of the runs within each "
            "task. They cover the chance in the runs (new head, batches), not the choice of tasks, "
            "and with few seeds they are somewhat too narrow.",
        ),
        (
            "default base LR",
            "the base learning rate that the task gives (or the nearest to it that was run), not "
            "tuned for any row. The first columns of the results are at this one.",
        ),
        (
            "mean over base LRs",
            "each run's score is its mean over all base-LR factors (the user guessed wrong by up "
            "to that much, either way); failures at extreme rates count in full.",
        ),
        (
            "paired differences",
            "means of the differences between runs that share task, seed (head and batches) and "
            "base learning rate. Every run counts, also those at chance. A claim holds when the "
            "whole interval is above zero.",
        ),
        (
            "tuned by source validation",
            "the best setting per task by accuracy on held-out synthetic images, ties by the lower "
            "loss there, means over seeds: what a user can do.",
        ),
        (
            "tuned by target accuracy (oracle)",
            "the best setting per task by the target accuracy itself, which no user has. It is the "
            "maximum of noisy means, scored by the same runs: optimistic.",
        ),
        ("at chance", f"target accuracy of at most {NEAR_CHANCE:g} × chance{limit}."),
        ("diverged", "the loss became infinite or not a number."),
        (
            "learned policy",
            "one policy, the same for every task and base learning rate; never tuned on a task.",
        ),
    ]
