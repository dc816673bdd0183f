"""`l2o.suggest`: which policy, rule or schedule to take, from short runs of the user's own loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from l2o.checks import check_number, check_steps
from l2o.control.suggesting.answers import Labels, find_labels
from l2o.control.suggesting.candidates import Candidate, as_candidates
from l2o.control.suggesting.choosing import choose, rank
from l2o.control.suggesting.snapshot import Snapshot, random_states
from l2o.control.suggesting.suggestion import Suggestion
from l2o.control.suggesting.trials import LoopTrials, Loss, Metric, Trials, generators_of
from l2o.control.suggesting.warnings import warnings_of
from l2o.control.unwrap import unwrap_optimizer
from l2o.layers.groups import group_layers


def suggest(
    model: nn.Module,
    optimizer: Any,
    batches: Iterable[Any],
    loss: Loss,
    *,
    validation: Iterable[Any],
    metric: Metric | None = None,
    labels: Labels = find_labels,
    steps: int = 100,
    total_steps: int | None = None,
    candidates: Iterable[str | Candidate | Any] | None = None,
    head: nn.Module | str | None = None,
    seed: int = 0,
) -> Suggestion:
    """Try candidates in short runs of a training, and say which to take for the whole of it.

    Each candidate trains the model for `steps` steps on the same batches, from the same beginning.
    Taken is the one that moves the backbone least among those nearly as good as the best on
    `validation`. Model, optimizer and random states are left bit by bit as they were.

    Args:
        model: the network that is about to be fine-tuned, in the mode in which you train it.
        optimizer: at the learning rate that you mean to use; it has no controller yet.
        batches: to train on: a `DataLoader`, a list, or what can be gone through again and again.
        loss: `loss(model, batch)`, a scalar tensor.
        validation: batches that are not trained on; real labelled ones are best.
        metric: `metric(model, batch)`, larger is better; None takes the accuracy where labels are
            class numbers and the outputs have a column for each, else −`loss`.
        labels: of a batch; by default its second part, or its key `labels`.
        steps: of each run.
        total_steps: of the training that is to come, for a warning where runs are much shorter.
        candidates: names, policies, or both; None takes `CANDIDATES`.
        head: the new head, see `group_layers`.
        seed: of batches and whatever is drawn.

    Raises:
        ValueError: arguments out of range, batches that are gone after one pass, an unknown
            candidate, or an optimizer that has a controller already.
        TypeError: no torch optimizer, or candidates of another kind.
        RuntimeError: every run diverged.

    Example:
        >>> images = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> data, model = [(images, (images[:, 0] > 0).long())], nn.Linear(8, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> loss = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])
        >>> suggest(model, optimizer, data, loss, validation=data, steps=20).scored_by
        'accuracy'
    """
    steps = _checked(steps, seed, batches=batches, validation=validation)
    total_steps = check_steps("total_steps", total_steps)
    chosen = as_candidates(candidates)
    inner, _ = unwrap_optimizer(optimizer)
    groups = group_layers(model, head=head)
    with _as_they_were(model, inner, batches, validation) as before:
        trials = LoopTrials(
            model, inner, batches, validation, loss, metric, labels, groups, steps, seed, before
        )
        return suggest_from(trials, chosen, total_steps)


def suggest_from(
    trials: Trials, candidates: Iterable[Candidate], total_steps: int | None = None
) -> Suggestion:
    """Try candidates wherever that is, and say which to take.

    Args:
        trials: where.
        candidates: two or more; a progress bar around them is told of each run.
        total_steps: of the training that is to come.

    Raises:
        RuntimeError: every run diverged.
    """
    start = float(np.mean(trials.start()))
    tried, known = [], []
    for candidate in candidates:
        known.append(candidate)
        tried.append(trials.run(candidate))
    pretraining = trials.pretraining()
    best = choose(tried, start, little=pretraining is not None and pretraining.little)
    ranked = rank(tried, best)
    return Suggestion(
        candidate=next(each for each in known if each.name == best.name),
        ranked=ranked,
        start=start,
        steps=trials.steps,
        scored_by=trials.scored_by,
        percent=trials.percent,
        pretraining=pretraining,
        warnings=tuple(warnings_of(ranked, known, start, pretraining, trials.steps, total_steps)),
    )


@contextmanager
def _as_they_were(model: nn.Module, optimizer: Optimizer, *loaders: Any) -> Iterator[Snapshot]:
    """Put model, optimizer and random states back at the end, whatever happens within."""
    before = Snapshot(model, optimizer)
    with random_states(*generators_of(*loaders)):
        try:
            yield before
        finally:
            before.put_back()


def _checked(steps: int, seed: int, **loaders: Any) -> int:
    """Return the number of steps; raise unless it and the others can be worked with."""
    steps = check_steps("steps", steps) or 0
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}; a hundred say more")
    check_number("seed", seed)
    for name, given in loaders.items():
        _check_again(name, given)
    return steps


def _check_again(name: str, given: Any) -> None:
    """Refuse what can be gone through only once: every candidate has to see the same batches."""
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a DataLoader or a list of batches, got {given!r:.100}")
    if isinstance(given, Iterator):
        raise ValueError(
            f"{name} is an iterator ({type(given).__name__}), which is gone after one pass, and "
            "every candidate goes through it; pass the DataLoader itself, or a list of batches"
        )
