"""A cache of decoded and resized images: two files that grow as images are first read.

`pixels.u8` holds pixels, one image after the other. `index.i64` has a row for each image: where
its pixels begin, their height, width and channels, their CRC-32, and, written last, that they are
there.
Both are mapped into memory, so processes share them and the operating system drops what it must.
"""

from __future__ import annotations

import mmap
import os
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

_COLUMNS = 6
_OFFSET, _HEIGHT, _WIDTH, _CHANNELS, _CHECK, _FILLED = range(_COLUMNS)
MAGIC = 0x6C326F5F696D6701
"""Begins an index, and changes with its layout."""


class PixelCache:
    """Pixels of the images of one data set, filled as they are first asked for.

    Nothing in it is needed: what is not there, or damaged, is made again. A process that is killed
    leaves at worst pixels that no row points to. Two processes that fill the same image write it
    twice, each to a place of its own. Pixels are held against their CRC-32 once per process.

    Args:
        folder: where its files lie; made by `create`.
        images: number of images.
        limit: bytes that the pixels may take; what comes later is made each time.

    Example:
        >>> import tempfile
        >>> cache = PixelCache.create(Path(tempfile.mkdtemp()), images=2, limit=10**6)
        >>> cache.get(1, lambda: np.ones((4, 4, 3), np.uint8)).shape
        (4, 4, 3)
        >>> cache.filled
        1
    """

    def __init__(self, folder: Path, images: int, limit: int) -> None:
        self.folder = folder
        self.images = images
        self.limit = limit
        self._close()

    @classmethod
    def create(cls, folder: Path, images: int, limit: int) -> PixelCache:
        """Return the cache of a folder; made, or made anew, unless it is there and whole.

        Raises:
            OSError: the folder cannot be written.
        """
        cache = cls(folder, images, limit)
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if not cache._is_whole():
                for name in (cache.index_file, cache.pixel_file):
                    name.unlink(missing_ok=True)
                cache.pixel_file.touch()
                # The index comes last, by a move: without it there is no cache.
                rows = np.zeros((images + 1, _COLUMNS), dtype=np.int64)
                rows[0, :2] = MAGIC, images
                beside = folder / f"index.{os.getpid()}.new"
                beside.write_bytes(rows.tobytes())
                os.replace(beside, cache.index_file)
        # So that the least recently used can be told.
        os.utime(folder)
        return cache

    @property
    def index_file(self) -> Path:
        """The file of rows."""
        return self.folder / "index.i64"

    @property
    def pixel_file(self) -> Path:
        """The file of pixels."""
        return self.folder / "pixels.u8"

    @property
    def filled(self) -> int:
        """How many images are held."""
        return int((self._rows()[1:, _FILLED] == 1).sum())

    def get(self, number: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the pixels of an image, held or made; they are not to be changed.

        Args:
            number: of the image.
            make: gives its pixels, uint8 `[H, W, C]`.
        """
        found = self._read(number)
        if found is None:
            found = make()
            if self._open_to_fill:
                self._fill(number, found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to one process."""
        return {"folder": self.folder, "images": self.images, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the files anew where they are used."""
        self.__init__(**state)  # type: ignore[misc]

    def _close(self) -> None:
        self._index: Any = None
        self._file: Any = None
        self._map: mmap.mmap | None = None
        self._checked = bytearray(self.images)
        self._open_to_fill = True

    def _is_whole(self) -> bool:
        """Tell whether the index is one of these images."""
        try:
            if self.index_file.stat().st_size != (self.images + 1) * _COLUMNS * 8:
                return False
            with self.index_file.open("rb") as file:
                start = np.frombuffer(file.read(16), dtype=np.int64)
            return start.tolist() == [MAGIC, self.images] and self.pixel_file.exists()
        except OSError:
            return False

    def _rows(self) -> Any:
        if self._index is None:
            shape = (self.images + 1, _COLUMNS)
            self._index = np.memmap(self.index_file, dtype=np.int64, mode="r+", shape=shape)
        return self._index

    def _pixel_handle(self) -> Any:
        """Return the open file of pixels: the same one, whatever comes to lie in its place."""
        if self._file is None:
            self._file = self.pixel_file.open("r+b", buffering=0)
        return self._file

    def _read(self, number: int) -> np.ndarray | None:
        """Return an image that is held, None otherwise, or if it is not what was written."""
        try:
            row = self._rows()[number + 1].tolist()
            if row[_FILLED] != 1:
                return None
            shape = (row[_HEIGHT], row[_WIDTH], row[_CHANNELS])
            pixels = self._pixels(row[_OFFSET], shape)
        except (OSError, ValueError):
            return None
        if pixels is None:
            return None
        if not self._checked[number]:
            if zlib.crc32(pixels.data) != row[_CHECK]:
                return None
            self._checked[number] = 1
        return pixels

    def _pixels(self, offset: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return pixels as they lie in the file, None if it does not reach as far."""
        size = shape[0] * shape[1] * shape[2]
        if offset < 0 or min(shape) < 1:
            return None
        if self._map is None or offset + size > len(self._map):
            handle = self._pixel_handle().fileno()
            # It has grown since, or is too short: damaged.
            if offset + size > os.fstat(handle).st_size:
                return None
            self._map = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, np.uint8, size, offset).reshape(shape)

    def _fill(self, number: int, pixels: np.ndarray) -> None:
        """Write an image's pixels, then its row, then that they are there."""
        data = np.ascontiguousarray(pixels)
        try:
            offset = self._write(data)
        except OSError as error:
            self._stop_filling(f"cannot be filled ({error})")
            return
        if offset is None:
            self._stop_filling(f"has no room left in its {self.limit / 1e9:.2f} GB")
            return
        row = self._rows()[number + 1]
        row[_FILLED] = 0
        row[:_FILLED] = (offset, *pixels.shape, zlib.crc32(data.data))
        row[_FILLED] = 1
        self._checked[number] = 1

    def _write(self, data: np.ndarray) -> int | None:
        """Append pixels to their file; return where they lie, or None: no room is left."""
        file = self._pixel_handle()
        # Forked processes share the handle's place in the file, so writing is locked, too.
        with _lock(self.folder):
            # The end is the file's own, and no counter that could be wrong.
            end = int(file.seek(0, os.SEEK_END))
            if end + data.size > self.limit:
                return None
            rest = data.data.cast("B")
            while rest:
                rest = rest[file.write(rest) :]
        return end

    def _stop_filling(self, reason: str) -> None:
        self._open_to_fill = False
        warnings.warn(
            f"the cache of images in {self.folder} {reason}; what it lacks is read anew each time",
            stacklevel=2,
        )


def _lock(folder: Path) -> Any:
    from filelock import FileLock

    return FileLock(folder / "lock", timeout=60)


def size_on_disk(folder: Path) -> int:
    """Return the bytes that a cache takes."""
    total = 0
    for path in folder.iterdir():
        with suppress(OSError):
            total += path.stat().st_size
    return total
