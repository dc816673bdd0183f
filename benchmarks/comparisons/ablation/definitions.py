"""What the words and numbers of an ablation's report mean."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.comparisons.table.summary import NEAR_CHANCE

_DEFINITIONS = (
    (
        "variant",
        "a policy that is learned as its reference is, but for what the table of changes names; "
        "the reference is the base, {base!r}, unless the table says otherwise.",
    ),
    (
        "accuracy",
        "final accuracy on the real validation images of the target, mean over {episodes} drawn "
        "episodes of the meta-training split, of tasks that learning never draws, with the "
        "pretrained networks of `evaluation.task` (in the preset, none that learning uses). The "
        "held-out split is not looked at.",
    ),
    (
        "episodes",
        "the same for every variant: task, network, base LR, optimizer, guidance weight, batches, "
        "head, and which signals are withheld; drawn as the base's training draws them.",
    ),
    (
        "which policy",
        "the one that `l2o train` exports, the best of its evaluations; where there is one "
        "evaluation, at the end, the last policy.",
    ),
    (
        "difference",
        "mean of the differences to the reference, paired by episode and learning seed, in "
        "percentage points. Bold rows: the interval does not hold zero.",
    ),
    (
        "intervals",
        "95 % percentile-bootstrap intervals, {resamples} resamples of the episodes{seeds}. With "
        "some two dozen rows, one or two intervals miss zero by chance.",
    ),
    (
        "budget",
        "{fine_tunes} fine-tunes for each policy, imitation included, in whole iterations of the "
        "algorithm: short. What helps early need not help later, and the other way round; settings "
        "other than the one changed are not tuned again.",
    ),
    (
        "learning seeds",
        "{count}: another one draws other tasks, noise and first weights. How far apart policies "
        "are that differ in nothing else, the rows of the group `control` show, if there are any: "
        "a difference no larger than theirs may be the seed's.",
    ),
    ("minutes", "wall-clock of learning one policy in {processes}, scoring left out."),
    ("at chance", "accuracy of at most {near_chance:g} × chance."),
    ("diverged", "the loss became infinite or not a number."),
)


def define(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the definitions that a reader of the report needs: word, meaning."""
    several = len(data["seeds"]) > 1
    processes = data["machine"]["processes"]
    values = {
        "base": data["base"],
        "episodes": data["episodes"],
        "fine_tunes": data["fine_tunes"],
        "resamples": data["bootstrap"]["resamples"],
        "seeds": " and of the learning seeds, few as they are"
        if several
        else " alone: they cover the choice of episodes, not that of the learning seed",
        "count": len(data["seeds"]),
        "processes": "one process" if processes == 1 else f"{processes} processes",
        "near_chance": NEAR_CHANCE,
    }
    return [(word, meaning.format(**values)) for word, meaning in _DEFINITIONS]
