"""Which caches of images there are: one for each data set, together within a bound."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.envs.tasks.images.cache import MAGIC, PixelCache, size_on_disk
from l2o.envs.tasks.images.decoding import CorruptImageError, read_size

_SAMPLED = 32
"""Images whose size is read to estimate what all take."""


class CacheRoom:
    """Opens the caches of a task's data sets, and keeps all caches of a folder within a bound.

    Those that were not used for the longest time make room. A data set that would not fit even
    then has no cache, with a warning: caching a part of it would evict others for little.

    Args:
        gigabytes: that all caches of images may take together.
        folder: where they lie; by default `images` in the project's cache folder.
    """

    def __init__(self, gigabytes: float, folder: Path | None = None) -> None:
        self.limit = int(gigabytes * 1e9)
        self.folder = cache_folder() / "images" if folder is None else folder
        self._used: dict[str, int] = {}

    def open(
        self, paths: list[str], spec: Mapping[str, Any], short_side: int | None, channels: int = 3
    ) -> PixelCache | None:
        """Return the cache of these files, None where there is none.

        Args:
            paths: of the images, in order.
            spec: all that decides on what is made of them.
            short_side: the largest that the shorter side of what is held has; None: any.
            channels: of what is held.
        """
        key = _key(paths, spec)
        # A tenth more than estimated, which no cache exceeds.
        needed = round(1.1 * _estimate(paths, short_side, channels)) + 2**16
        free = self.limit - sum(self._used.values())
        if needed > free:
            warnings.warn(
                f"{len(paths)} images take some {needed / 1e9:.1f} GB decoded, and cache_gb="
                f"{self.limit / 1e9:g} leaves {free / 1e9:.1f} for them: they are decoded anew "
                "each time. Raise cache_gb, or set resize or cache=false",
                stacklevel=2,
            )
            return None
        try:
            self._used[key] = needed
            self._make_room()
            return PixelCache.create(self.folder / key, len(paths), needed)
        except OSError as error:
            warnings.warn(
                f"there is no cache of images, since {self.folder} cannot be written ({error}); "
                "set L2O_CACHE to a folder that can, or cache=false",
                stacklevel=2,
            )
            return None

    def _make_room(self) -> None:
        """Remove the caches that were not used for the longest time, but none of this task."""
        if not self.folder.is_dir():
            return
        others = [each for each in self.folder.iterdir() if each.is_dir()]
        others = [each for each in others if each.name not in self._used]
        sizes = {each: size_on_disk(each) for each in others}
        room = self.limit - sum(self._used.values())
        for each in sorted(others, key=lambda each: each.stat().st_mtime_ns):
            if sum(sizes.values()) <= room:
                return
            # Whoever still reads it has it open, or reads the images anew.
            with suppress(OSError):
                shutil.rmtree(each)
            sizes.pop(each)


def _key(paths: Iterable[str], spec: Mapping[str, Any]) -> str:
    """Return a name for what is held: another file, size, time or treatment gives another."""
    versions = {name: version(name) for name in ("pillow", "torchvision", "torch")}
    digest = hashlib.sha256(
        json.dumps({"layout": MAGIC, "spec": dict(spec), "versions": versions}).encode()
    )
    for path in paths:
        facts = os.stat(path)
        line = f"{os.path.abspath(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _estimate(paths: list[str], short_side: int | None, channels: int) -> int:
    """Return about how many bytes the images take, by the sizes of some of them."""
    total, read = 0.0, 0
    for path in paths[:: max(1, len(paths) // _SAMPLED)]:
        with suppress(CorruptImageError):
            height, width = read_size(path)
            shrink = 1.0 if short_side is None else min(1.0, short_side / min(height, width))
            total += height * width * shrink**2 * channels
            read += 1
    return round(total / max(read, 1) * len(paths))
