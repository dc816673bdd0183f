"""Decisions on their way into the database: appended to a file at once, moved there in bulk."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

from l2o.service.server.database import Database

Record = tuple[str, int, bytes, bytes]
"""Session, step, digest of what was asked, and how far the session was after it."""
Kept = tuple[bytes, bytes]
"""Digest and progress of a decision."""
AT_ONCE = 100
"""Decisions that are moved in one transaction: others who write wait for no more."""
BREATH = 0.01
"""Seconds between two of these transactions, in which others may write."""
MOST = 500_000
"""Decisions that may wait, where the database cannot be written; no more are answered then."""
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<qBB")
_ADD = (
    "INSERT OR IGNORE INTO decisions SELECT ?1, ?2, ?3, ?4 "
    "WHERE EXISTS (SELECT 1 FROM sessions WHERE id = ?1)"
)


class FolderInUseError(ValueError):
    """A data folder that another server uses; the message says what to do."""


class Journal:
    """What was decided since the database was last brought up to date.

    A decision is in the file before anybody hears of it, and so outlives the process, however
    that ends; a machine that goes down as a whole may lose the newest seconds, as with the
    database itself. `move` writes down what the file has, in a thread of its own, and the file
    begins anew. Whoever starts next moves what is left.

    Args:
        folder: of the data.
        database: with the tables of sessions.

    Raises:
        FolderInUseError: another server uses the folder.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder, self._database = folder, database
        self._lock = lock(folder, fcntl.LOCK_EX)
        recover(folder, database)
        self._moving = threading.Lock()
        self._number = 0
        self._new: dict[str, dict[int, Kept]] = {}
        self._old: dict[str, dict[int, Kept]] = {}
        self._counts = [0, 0]  # of the old and the new
        self._file = self._open()

    def append(self, records: Sequence[Record]) -> None:
        """Keep decisions.

        Raises:
            OSError: they could not be written; none of them is kept.
        """
        if sum(self._counts) > MOST:
            raise OSError(f"{sum(self._counts)} decisions wait to be written into the database")
        text = b"".join(map(_framed, records))
        begun = os.lseek(self._file, 0, os.SEEK_END)
        try:
            if os.write(self._file, text) < len(text):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._file, begun)
            raise
        for session, step, digest, progress in records:
            self._new.setdefault(session, {})[step] = digest, progress
        self._counts[1] += len(records)

    def of(self, session: str) -> dict[int, Kept]:
        """Return the decisions of a session that are not yet in the database, by step."""
        return {**self._old.get(session, {}), **self._new.get(session, {})}

    def find(self, session: str, step: int) -> Kept | None:
        """Return one of them."""
        for kept in (self._new, self._old):
            if session in kept and step in kept[session]:
                return kept[session][step]
        return None

    def newest(self, session: str) -> Kept | None:
        """Return the last of them."""
        for kept in (self._new, self._old):
            if session in kept:
                return list(kept[session].values())[-1]
        return None

    def begin_anew(self) -> None:
        """Begin a new file, so that `move` can take the old one; in the thread that appends."""
        if self._old or not self._new:
            return
        before, self._file = self._file, self._open()
        os.close(before)
        self._old, self._new = self._new, {}
        self._counts = [self._counts[1], 0]

    def move(self) -> int:
        """Write the decisions of the old file into the database; return how many there were.

        Raises:
            sqlite3.Error: the database cannot be written; all is tried again the next time.
        """
        with self._moving:
            records = [
                (session, step, *kept)
                for session, by_step in self._old.items()
                for step, kept in by_step.items()
            ]
            insert(self._database, records, BREATH)
            for path in segments(self._folder)[:-1]:
                path.unlink()
            self._old = {}
            self._counts[0] = 0
            return len(records)

    def close(self) -> None:
        """Move all that is left, and let go of the folder."""
        self.move()
        self.begin_anew()
        self.move()
        os.close(self._file)
        for path in segments(self._folder):
            path.unlink()
        os.close(self._lock)

    def _open(self) -> int:
        self._number += 1
        path = self._folder / f"decisions-{self._number:08d}.log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def recover(folder: Path, database: Database) -> None:
    """Write into the database what a server that was killed left in its journal."""
    for path in segments(folder):
        insert(database, list(_records(path.read_bytes())))
        path.unlink()


def insert(database: Database, records: Sequence[Record], breath: float = 0.0) -> None:
    """Write decisions of sessions that there still are, a few in each transaction."""
    for start in range(0, len(records), AT_ONCE):
        with database.writing() as connection:
            connection.executemany(_ADD, records[start : start + AT_ONCE])
        if breath:
            sleep(breath)


def share(folder: Path, database: Database) -> int:
    """Take the lock of a data folder together with the other processes of one server.

    The first of them moves what is left of a journal: with several processes there is none.
    """
    try:
        held = lock(folder, fcntl.LOCK_EX, 0.0)
    except FolderInUseError:
        return lock(folder, fcntl.LOCK_SH)
    recover(folder, database)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def segments(folder: Path) -> list[Path]:
    """Return the files of a journal, the oldest first."""
    return sorted(folder.glob("decisions-*.log"))


def lock(folder: Path, kind: int, seconds: float = 5.0) -> int:
    """Take the lock of a data folder, alone or with others; return what holds it.

    Raises:
        FolderInUseError: another server holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / "decisions.lock", os.O_RDWR | os.O_CREAT, 0o600)
    for left in range(int(seconds / 0.05), -1, -1):
        try:
            fcntl.flock(held, kind | fcntl.LOCK_NB)
            return held
        except OSError:
            if left:
                sleep(0.05)  # one that was just stopped may be on its way out
    os.close(held)
    raise FolderInUseError(
        f"another server uses {folder}; stop it, or start this one with another --data"
    )


def _framed(record: Record) -> bytes:
    session, step, digest, progress = record
    name = session.encode()
    payload = b"".join((_HEAD.pack(step, len(name), len(digest)), name, digest, progress))
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _records(text: bytes) -> Iterator[Record]:
    """Yield the records of a file, up to the first that is not whole: nobody was told of it."""
    at = 0
    while at + _FRAME.size <= len(text):
        length, checksum = _FRAME.unpack_from(text, at)
        payload = text[at + _FRAME.size : at + _FRAME.size + length]
        if len(payload) < max(length, _HEAD.size) or zlib.crc32(payload) != checksum:
            return
        step, named, told = _HEAD.unpack_from(payload)
        rest = payload[_HEAD.size :]
        yield rest[:named].decode(), step, rest[named : named + told], rest[named + told :]
        at += _FRAME.size + length
