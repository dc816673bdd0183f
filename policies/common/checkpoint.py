"""Checkpoints of a training run: plain data and tensors, loaded without executing anything."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from l2o.files.atomic import DamagedFileError, write_atomically
from l2o.files.seals import read_sealed, seal_bytes

CHECKPOINT = Path("checkpoints") / "latest.pt"
PREVIOUS = Path("checkpoints") / "previous.pt"
"""The checkpoint before the latest, for when that is damaged."""
FIELDS = frozenset({"learner", "iteration", "seconds", "best", "evaluations", "evaluated"})
"""What a checkpoint holds."""


def save_checkpoint(out: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint of a run folder; the one before it stays beside it.

    Killed at any moment, `latest.pt` is whole: the old one or the new.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    _keep_previous(out)
    write_atomically(out / CHECKPOINT, seal_bytes(buffer.getvalue()))


def load_checkpoint(
    out: Path, written: bool = False, fields: frozenset[str] = FIELDS
) -> dict[str, Any] | None:
    """Return the checkpoint of a run folder, None if there is none and none was ever written.

    Args:
        out: the run folder.
        written: whether the run is known to have written one.
        fields: what it must hold.

    Raises:
        DamagedFileError: it is damaged, lost, or no checkpoint of a training run; the message says
            whether the one before it can be used.
    """
    path = out / CHECKPOINT
    if not os.path.lexists(path):
        # `results.json` is written after each checkpoint.
        if written or (out / PREVIOUS).exists() or (out / "results.json").exists():
            raise DamagedFileError(path, "is missing, though the run wrote it", _remedy(out))
        return None
    return _read(path, _remedy(out), fields)


@contextmanager
def fitting(out: Path) -> Iterator[None]:
    """Turn what goes wrong while a run takes a checkpoint over into an error that names the file.

    Raises:
        DamagedFileError: the checkpoint is of another run, or not sealed and damaged.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = f"is no checkpoint that this run can go on from ({first})"
        raise DamagedFileError(out / CHECKPOINT, reason, _remedy(out)) from error


def _read(path: Path, remedy: str, fields: frozenset[str] = frozenset()) -> dict[str, Any]:
    content = read_sealed(path, remedy)
    try:
        state = torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # a damaged archive raises whatever torch stumbles over
        lines = str(error).splitlines() or [type(error).__name__]
        kind = "more than plain data" if isinstance(error, pickle.UnpicklingError) else lines[0]
        raise DamagedFileError(path, f"cannot be read as a checkpoint ({kind})", remedy) from error
    if not isinstance(state, dict) or not state.keys() >= {"iteration", *fields}:
        raise DamagedFileError(path, "is no checkpoint of such a run", remedy)
    return state


def _remedy(out: Path) -> str:
    latest, previous = out / CHECKPOINT, out / PREVIOUS
    anew = "to begin anew, choose another folder with --out"
    try:
        state = _read(previous, "")
    except DamagedFileError:
        return f"put a copy of it back if you have one; {anew}"
    return (
        f"the checkpoint before it is whole: to go on from iteration {state['iteration']}, "
        f"move {previous} to {latest}; {anew}"
    )


def _keep_previous(out: Path) -> None:
    """Give the latest checkpoint a second name, under which it stays when the next is written."""
    latest, previous = out / CHECKPOINT, out / PREVIOUS
    fresh = previous.with_suffix(".new")
    # Without a second checkpoint a run is as safe as its first one.
    with suppress(OSError):
        fresh.unlink(missing_ok=True)
        os.link(latest, fresh)
        os.replace(fresh, previous)
