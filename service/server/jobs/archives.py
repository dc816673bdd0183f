"""Unpacking what strangers packed: zip and tar archives of files, and of nothing but files.

An archive may name places outside its folder, hold links or devices, and grow without end as it is
unpacked. Each entry is looked at before anything of it is written; bytes are counted as they come,
whatever the archive says of itself; a refused archive leaves nothing behind.
"""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

_CHUNK = 1 << 20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError)


class ArchiveError(ValueError):
    """An archive that is refused; the message has the entry and why."""


@dataclass(frozen=True)
class Bounds:
    """How large what is unpacked may grow.

    Attributes:
        files: entries.
        bytes: of all files together.
        ratio: bytes unpacked for each byte packed, beyond `free_bytes`.
        free_bytes: that are not held against the ratio.
        disk: bytes that must stay free on the disk.
        listing: bytes that an archive's list of entries, or one header, may take.
    """

    files: int = 500_000
    bytes: int = 64 << 30
    ratio: float = 100.0
    free_bytes: int = 64 << 20
    disk: int = 1 << 30
    listing: int = 32 << 20

    def most(self, packed: int) -> int:
        """Return the bytes that an archive of so many may unpack to."""
        return min(self.bytes, self.free_bytes + int(self.ratio * packed))


class Entry(NamedTuple):
    """One entry of an archive: where it goes, whether it is a folder, how to read it."""

    name: str
    is_folder: bool
    open: Any


def unpack(archive: Path, folder: Path, bounds: Bounds | None = None) -> int:
    """Unpack a zip or tar (plain, gzip, bzip2) into a new folder; return the number of files.

    Args:
        archive: the file.
        folder: made; must not be there.
        bounds: how large it may grow.

    Raises:
        ArchiveError: no such archive, a damaged one, an entry that leads out of the folder, is a
            link or a device, stands twice or lies below a file, or more than the bounds allow.
    """
    bounds = bounds or Bounds()
    folder.mkdir(parents=True)
    try:
        return _unpack(archive, folder, bounds)
    except _BROKEN as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ArchiveError(f"the archive cannot be unpacked: {error}; pack it again") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _unpack(archive: Path, folder: Path, bounds: Bounds) -> int:
    room = _Room(bounds, archive.stat().st_size, folder)
    files = 0
    for number, entry in enumerate(_entries(archive, room), 1):
        if number > bounds.files:
            raise ArchiveError(f"more than {bounds.files} entries; split the archive")
        path = _place(folder, entry.name)
        try:
            if entry.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as out, entry.open() as content:
                room.copy(content, out)
        except (FileExistsError, NotADirectoryError) as error:
            raise ArchiveError(
                f"{entry.name!r} stands twice in the archive, or below a file; pack it again"
            ) from error
        files += 1
    if not files:
        raise ArchiveError("the archive holds no files")
    return files


class _Room:
    """Counts the bytes that are unpacked, and refuses those that are too many."""

    def __init__(self, bounds: Bounds, packed: int, folder: Path) -> None:
        self.bounds, self.most = bounds, bounds.most(packed)
        self.disk = shutil.disk_usage(folder).free - bounds.disk

    def copy(self, content: Any, out: IO[bytes]) -> None:
        while chunk := content.read(_CHUNK):
            self.most -= len(chunk)
            self.disk -= len(chunk)
            if self.most < 0:
                raise ArchiveError(
                    "it unpacks to more than "
                    f"{self.bounds.bytes} bytes, or than {self.bounds.ratio:g} bytes for each of "
                    "its own; split the archive, or pack images in their own formats"
                )
            if self.disk < 0:
                raise ArchiveError("it does not fit on the disk; delete uploads or jobs first")
            out.write(chunk)


class _Bounded(io.RawIOBase):
    """A file of which no more than so much is read at once: headers may claim any size."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        """Read; refuse to read too much."""
        if size < 0 or size > self.most:
            here = self.file.tell()
            left = self.file.seek(0, os.SEEK_END) - here
            self.file.seek(here)
            if (left if size < 0 else min(size, left)) > self.most:
                raise ArchiveError("a list of entries or a header is too large; pack it again")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return where it is."""
        return self.file.tell()

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def readable(self) -> bool:
        """Return that it is."""
        return True


def _entries(archive: Path, room: _Room) -> Iterator[Entry]:
    with archive.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from _of_zip(_Bounded(file, room.bounds.listing))
            return
        # A tar is decompressed first, so that what its headers claim is held to what there is.
        with tempfile.TemporaryFile(dir=archive.parent) as plain:
            if start[:2] == b"\x1f\x8b":
                _room_of_tar(room).copy(gzip.GzipFile(fileobj=file), plain)
            elif start[:3] == b"BZh":
                _room_of_tar(room).copy(bz2.BZ2File(file), plain)
            packed: IO[bytes] = plain if plain.tell() else file
            packed.seek(0)
            yield from _of_tar(_Bounded(packed, room.bounds.listing))


def _room_of_tar(room: _Room) -> _Room:
    """Return the bounds of a tar as such: those of its files, and room for headers."""
    more = copy.copy(room)
    more.most = 2 * room.most
    return more


def _of_zip(file: _Bounded) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as packed:
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"{info.filename!r} is a link or a device; pack files only")
            if info.flag_bits & 0x1:
                raise ArchiveError(f"{info.filename!r} is encrypted; pack without a password")
            if info.compress_type not in _METHODS:
                raise ArchiveError(f"{info.filename!r} is packed by a method other than deflate")
            # `ZipInfo` cuts a name at a null character; the original is what was meant.
            name = info.orig_filename
            yield Entry(name, info.is_dir(), lambda info=info: packed.open(info))


def _of_tar(file: _Bounded) -> Iterator[Entry]:
    with tarfile.open(fileobj=file, mode="r:") as packed:
        for info in packed:
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise ArchiveError(
                    f"{info.name!r} is a link, a device or a sparse file; pack plain files only"
                )
            yield Entry(info.name, info.isdir(), lambda info=info: packed.extractfile(info))
            packed.members = []  # type: ignore[attr-defined]  # or all headers would be kept


def _place(folder: Path, name: str) -> Path:
    """Return where an entry goes, which is within the folder.

    Raises:
        ArchiveError: its name leads elsewhere, or is none that every system takes.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    wrong = name.startswith("/") or ".." in parts or "\\" in name or ":" in name[:2]
    unfit = any(len(os.fsencode(part)) > 255 or not part.isprintable() for part in parts)
    if wrong or unfit or len(name) > 1024:
        raise ArchiveError(
            f"{name[:200]!r} leads out of the folder or is no name for a file; pack names relative "
            "to the folder"
        )
    return folder.joinpath(*parts)
