"""Checkpoints of a training run: plain data and tensors, loaded without executing anything."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from l2o.files import write_atomically

CHECKPOINT = Path("checkpoints") / "latest.pt"


def save_checkpoint(out: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint of a run folder; the old one stays whole until the new one is."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(out / CHECKPOINT, buffer.getvalue())


def load_checkpoint(out: Path) -> dict[str, Any] | None:
    """Return the checkpoint of a run folder, None if there is none.

    Raises:
        ValueError: it is damaged, or holds more than plain data.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"cannot read the checkpoint {path}: {reason}; delete it to begin anew"
        ) from error
    return state
