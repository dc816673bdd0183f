"""A few images of each domain, kept with the results so that a report needs no data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.envs.tasks import Examples
from l2o.files.atomic import DamagedFileError, write_atomically
from l2o.files.seals import read_sealed, seal_bytes

SAMPLES = "samples.npz"
_REMEDY = "delete it: the report does without, and the same `l2o benchmark` command writes it again"
DOMAINS = {"proxy": "proxy_test", "source": "source_train", "target": "target_test"}


def save_samples(task: Any, out: Path, count: int = 10) -> None:
    """Write the first images of different classes of each domain, as uint8 `[N, H, W, C]`.

    Tasks whose inputs are not images of one or three channels, in memory and each with a class of
    its own, write nothing.
    """
    arrays: dict[str, NDArray[np.uint8]] = {}
    for domain, part in DOMAINS.items():
        examples = getattr(task, part)
        if not isinstance(examples, Examples) or examples.labels.ndim != 1:
            return
        if examples.images.ndim != 4 or examples.images.shape[1] not in (1, 3):
            return
        arrays[domain] = _to_uint8(examples.images[one_of_each(examples.labels.tolist(), count)])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(out / SAMPLES, seal_bytes(buffer.getvalue()))


def load_samples(out: Path) -> dict[str, NDArray[np.uint8]]:
    """Return images by domain, or nothing when there are none.

    Raises:
        DamagedFileError: the file is not what was written, or holds no such images.
    """
    path = out / SAMPLES
    if not path.exists():
        return {}
    content = read_sealed(path, _REMEDY)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            images = {domain: np.asarray(arrays[domain]) for domain in DOMAINS}
    except Exception as error:  # a damaged archive raises whatever its parts stumble over
        reason = f"cannot be read ({type(error).__name__}: {error})"
        raise DamagedFileError(path, reason, _REMEDY) from error
    if any(image.ndim != 4 or image.dtype != np.uint8 for image in images.values()):
        raise DamagedFileError(path, "holds no images of uint8 [N, H, W, C]", _REMEDY)
    return images


def one_of_each(labels: list[int], count: int) -> list[int]:
    """Return indices of the first example of each class, then of the second, and so on.

    Example:
        >>> one_of_each([0, 0, 1, 0, 1], 4)
        [0, 2, 1, 4]
    """
    places: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    rounds = max(map(len, places.values()), default=0)
    order = [places[c][r] for r in range(rounds) for c in sorted(places) if r < len(places[c])]
    return order[:count]


def _to_uint8(images: Any) -> NDArray[np.uint8]:
    """Stretch to 0..255 over the whole set, whatever the normalisation was."""
    low, high = images.min(), images.max()
    scaled = (images - low) / (high - low).clamp_min(1e-12)
    return np.asarray((scaled * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
