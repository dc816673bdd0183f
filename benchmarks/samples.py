"""A few images of each domain, kept with the results so that a report needs no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = "samples.npz"
DOMAINS = {"proxy": "proxy_test", "source": "source_train", "target": "target_test"}


def save_samples(task: Any, out: Path, count: int = 10) -> None:
    """Write the first images of different classes of each domain, as uint8 `[N, H, W, C]`.

    Tasks whose inputs are not images of one or three channels write nothing.
    """
    arrays: dict[str, NDArray[np.uint8]] = {}
    for domain, part in DOMAINS.items():
        examples = getattr(task, part)
        if examples.images.ndim != 4 or examples.images.shape[1] not in (1, 3):
            return
        arrays[domain] = _to_uint8(examples.images[_spread(examples.labels.tolist(), count)])
    np.savez_compressed(out / SAMPLES, allow_pickle=False, **arrays)


def load_samples(out: Path) -> dict[str, NDArray[np.uint8]]:
    """Return images by domain, or nothing when there are none."""
    if not (out / SAMPLES).exists():
        return {}
    with np.load(out / SAMPLES, allow_pickle=False) as arrays:
        return {domain: arrays[domain] for domain in DOMAINS}


def _spread(labels: list[int], count: int) -> list[int]:
    """Return indices that go round the classes: the first of each, then the second of each."""
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
