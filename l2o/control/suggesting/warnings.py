"""What speaks against trusting a suggestion, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from l2o.control.suggesting.candidates import Candidate
from l2o.control.suggesting.choosing import Ranked
from l2o.control.suggesting.pretraining import PretrainingCheck

FEW = 100
"""Parts of the validation data below which scores say little."""
LONGER = 20
"""How many times as long as a short run a training may be before that is said."""


def warnings_of(
    ranked: Sequence[Ranked],
    candidates: Sequence[Candidate],
    start: float,
    pretraining: PretrainingCheck | None,
    steps: int,
    total_steps: int | None,
) -> Iterator[str]:
    """Yield what a user should know before taking a suggestion."""
    chosen = ranked[0].tried
    if pretraining is not None and pretraining.little:
        yield (
            "pretraining seems to have little to give: features of shuffled weights do about as "
            "well in a linear probe; the backbone will have to move, which policies that hold it "
            "back are bad at, and a longer training may pay more than any choice of rates"
        )
    if chosen.score <= start:
        yield (
            f"the suggested run ends no better than it began ({chosen.score:.4g}, {start:.4g}); "
            "try more steps, another base learning rate, or look at the loss"
        )
    if len(chosen.scores) < FEW:
        yield (
            f"scores are means of only {len(chosen.scores)} parts of validation data; with so few "
            "the order of candidates is mostly chance"
        )
    elif len(close := [row for row in ranked[1:] if row.low <= 0.0 <= row.high]) > 1:
        names = ", ".join(row.tried.name for row in close)
        yield f"not told apart from it by these data: {names}"
    sizes = {each.name: size for each in candidates if (size := _size(each)) is not None}
    if len(sizes) > 1 and sizes.get(chosen.name) == max(sizes.values()):
        yield "the largest size tried is the one suggested; larger ones may be better still"
    if total_steps is not None and total_steps > LONGER * steps:
        yield (
            f"runs of {steps} steps stand for one of {total_steps}; sizes that are right for a "
            "short run may move the backbone too far in a long one: try longer runs"
        )


def _size(candidate: Candidate) -> float | None:
    rule = candidate.choice.get("rule")
    return rule["options"].get("size") if isinstance(rule, dict) else None
