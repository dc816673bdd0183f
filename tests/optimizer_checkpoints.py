"""Columns of the compatibility table: checkpoints."""

from __future__ import annotations

import io
from typing import Any

import torch
from optimizer_cases import Case
from optimizer_loops import STEPS, Fixed, Turns, assert_same, controlled, plain


def save_and_load(state: Any) -> Any:
    """Send a state through a file, as plain data only."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


SINGLE = {"dtype": torch.float32}
"""Torch itself loads some state (NAdam's products) in the weights' precision, not in its own."""


def resumed(case: Case) -> None:
    """A run resumed from its optimizer's `state_dict` is bit-equal, in every mode."""
    for mode in case.modes:
        whole, watched = controlled(case, Turns(), mode=mode, **SINGLE)
        whole.plain(0, 2 * STEPS)
        first, _ = controlled(case, Turns(), mode=mode, **SINGLE)
        first.plain(0, STEPS - 1)
        saved = save_and_load([first.model.state_dict(), first.optimizer.state_dict()])
        second, controller = controlled(case, Turns(), mode=mode, **SINGLE)
        second.model.load_state_dict(saved[0])
        second.optimizer.load_state_dict(saved[1])
        assert controller.steps == STEPS - 1
        second.plain(STEPS - 1, 2 * STEPS)
        assert_same(second, whole, exact=True)
        assert controller.get_last_lr() == watched.get_last_lr()


def from_plain(case: Case) -> None:
    """A checkpoint made without a controller goes on under one, its state kept."""
    first = plain(case, **SINGLE)
    first.plain(0, 3)
    saved = save_and_load([first.model.state_dict(), first.optimizer.state_dict()])
    ours, controller = controlled(case, Fixed(1.0, 1.0, 1.0), **SINGLE)
    ours.model.load_state_dict(saved[0])
    ours.optimizer.load_state_dict(saved[1])
    ours.plain(3, STEPS)
    first.plain(3, STEPS)
    assert_same(ours, first, exact=True)
    assert controller.steps == 3


def to_plain(case: Case) -> None:
    """A checkpoint made with a controller goes on without one, its state kept."""
    first, controller = controlled(case, **SINGLE)
    first.plain(0, 3)
    saved = save_and_load([first.model.state_dict(), first.optimizer.state_dict()])
    assert len(saved[1]["param_groups"]) == 1
    theirs = plain(case, **SINGLE)
    theirs.model.load_state_dict(saved[0])
    theirs.optimizer.load_state_dict(saved[1])
    theirs.plain(3, STEPS)
    controller.detach()
    first.plain(3, STEPS)
    assert_same(theirs, first, exact=True)
