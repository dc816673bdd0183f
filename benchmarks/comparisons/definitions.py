"""What the words and numbers of reports mean: shared words, in which members fill in theirs."""

from __future__ import annotations

from collections.abc import Iterable

from l2o.benchmarks.comparisons.results_file import Counts, Results
from l2o.benchmarks.comparisons.table.matrices import NEAR_CHANCE
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.page import duration

SHARED = {
    "target score": "{metric} on real test images of the target, at the end of the fine-tune. They "
    "are never trained on and, but for the oracle, never selected by.",
    "at chance": "target {metric} of at most {near_chance:g} × chance{limit}.",
    "diverged": "the loss became infinite or not a number. Images to which the network then gives "
    "no finite answer count as wrong, so that {metric} may be below chance.",
}
"""Word -> meaning."""


def define(
    words: Iterable[str | tuple[str, str]], metric: str = "accuracy", **values: object
) -> list[tuple[str, str]]:
    """Return the definitions that a reader of a report needs: word, meaning.

    Args:
        words: of `SHARED`, or with a meaning of their own.
        metric: name of the main metric.
        **values: what meanings leave open.
    """
    told = {"metric": metric, "near_chance": NEAR_CHANCE, "limit": "", **values}
    pairs = [(word, SHARED[word]) if isinstance(word, str) else word for word in words]
    return [(word.replace("score", metric), text.format(**told)) for word, text in pairs]


def where_run(results: Results) -> str:
    """Return how long it took, and in how many processes."""
    processes = results.machine["processes"]
    many = "one process" if processes == 1 else f"{processes} processes"
    return f"{duration(results.seconds)} of computing in {many} of one thread each"


def versions(results: Results) -> str:
    """Return the versions of the software."""
    machine = results.machine
    return f"l2o {machine['l2o']}, torch {machine['torch']}, Python {machine['python']}."


def lacking(counts: Counts) -> str:
    """Return how many fine-tunes there are, and how many are missing."""
    unused = counts.planned - counts.fine_tunes
    return f"{counts.fine_tunes} fine-tunes" + f" ({unused} more failed or were not run)" * (
        unused > 0
    )


def at_base_lrs(counts: Counts) -> str:
    """Return the base learning rates that rows were run at."""
    factors = ", ".join(show_factor(factor) for factor in counts.base_lr_factors)
    return f"at base learning rates × {factors}"
