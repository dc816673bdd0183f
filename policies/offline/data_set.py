"""Trials as a data set on disk: what was drawn and reached as JSON, what was seen as tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from l2o.files.atomic import DamagedFileError, read_bytes, write_atomically
from l2o.files.seals import open_json, seal_json
from l2o.policies.offline.points import Point
from l2o.policies.offline.trial import Trial

FACTS, ARRAYS = "trials.json", "trials.safetensors"
SEAL = "sha256"
_REMEDY = "copy the data set again, both files together"
_SCORES = ("target", "source", "proxy", "diverged")


class DataSet(NamedTuple):
    """Trials, and what their arrays mean.

    Attributes:
        signals: the features of `seen`, in order.
        points: what was tried, in the order of the scores.
        trials: of each task.
    """

    signals: tuple[str, ...]
    points: tuple[Point, ...]
    trials: list[Trial]


def save_data_set(folder: Path, data: DataSet) -> Path:
    """Write a data set; what probes looked like is rounded to half precision.

    Args:
        folder: made if missing; a data set there is replaced.
        data: what to write.

    Returns:
        The folder.
    """
    arrays = {name: _stacked(data.trials, name) for name in _SCORES}
    seen = [trial.seen.astype(np.float16) for trial in data.trials]
    arrays["seen"] = np.concatenate([each.reshape(-1, each.shape[-1]) for each in seen])
    told = {
        "signals": list(data.signals),
        "points": [list(point) for point in data.points],
        "trials": [
            {
                "episode": trial.episode,
                "facts": trial.facts,
                "decisions": trial.seen.shape[0],
                "layers": trial.seen.shape[1],
                "chance": trial.chance,
                "steps": trial.steps,
                "repeat": trial.repeat,
            }
            for trial in data.trials
        ],
    }
    write_atomically(folder / ARRAYS, save_arrays(arrays))
    # Without indents: what a task was drawn with are hundreds of numbers.
    write_atomically(
        folder / FACTS, json.dumps(seal_json(told, SEAL), separators=(",", ":")) + "\n"
    )
    return folder


def load_data_set(folder: Path) -> DataSet:
    """Return a data set.

    Raises:
        DamagedFileError: a file is missing or is not what was written.
    """
    told = open_json(folder / FACTS, read_bytes(folder / FACTS, _REMEDY), _REMEDY, SEAL)
    try:
        arrays = load_arrays(read_bytes(folder / ARRAYS, _REMEDY))
        broken = [name for name, each in arrays.items() if not np.isfinite(each).all()]
        if broken:
            raise ValueError(f"not all numbers are finite in {', '.join(broken)}")
        trials, first = [], 0
        for number, row in enumerate(told["trials"]):
            layers, decisions = int(row["layers"]), int(row["decisions"])
            seen = arrays["seen"][first : first + layers * decisions].astype(np.float32)
            first += layers * decisions
            scores = {name: arrays[name][number] for name in _SCORES}
            shape = (decisions, layers, seen.shape[-1])
            facts = {key: row[key] for key in ("episode", "facts", "chance", "steps")}
            # Data sets of one seed a task may be without it.
            repeat = int(row.get("repeat", 0))
            trials.append(Trial(seen=seen.reshape(shape), repeat=repeat, **facts, **scores))
        points = tuple(Point(*each) for each in told["points"])
        return DataSet(tuple(told["signals"]), points, trials)
    except (KeyError, TypeError, ValueError, IndexError, SafetensorError) as error:
        raise DamagedFileError(folder, f"holds no data set of trials ({error})", _REMEDY) from error


def _stacked(trials: Sequence[Trial], name: str) -> np.ndarray:
    # Of arrays that lie otherwise in memory, safetensors would write the numbers in another order.
    return np.ascontiguousarray(np.stack([np.asarray(getattr(t, name)) for t in trials]))
