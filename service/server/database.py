"""The one database: SQLite in the data folder, shared by the processes of a server."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VERSION = 1
"""Version of the tables, kept in the file; a newer file is refused, an older one brought up."""
MIGRATIONS: dict[int, str] = {}
"""What brings a file of the version before up to this one, by the version that results."""
WAIT = 10.0
"""Seconds that a statement waits for another process to finish writing."""


class DatabaseError(RuntimeError):
    """A database that cannot be used; the message names file, reason and remedy."""


class Database:
    """A connection for each thread; writes are short transactions.

    What a transaction has committed outlives the process, however that ends: the file is written
    ahead (WAL). Only when the whole machine goes down may the newest seconds be lost; the file is
    whole then, too.

    Args:
        path: the file; made if missing.
        tables: `CREATE TABLE IF NOT EXISTS ...` statements of each part of the server.

    Raises:
        DatabaseError: no database, or one of a newer release.

    Example:
        >>> database = Database(Path("service.db"), ["CREATE TABLE IF NOT EXISTS t (x)"])
        >>> with database.writing() as connection:
        ...     connection.execute("INSERT INTO t VALUES (1)")
    """

    def __init__(self, path: Path, tables: Sequence[str]) -> None:
        self.path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._begin(tables)
        except sqlite3.DatabaseError as error:
            raise DatabaseError(
                f"{path} cannot be used: {error}; move it away to begin anew, or put a backup there"
            ) from error

    def _begin(self, tables: Sequence[str]) -> None:
        with self.writing() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > VERSION:
                raise DatabaseError(
                    f"{self.path} has version {found}, this release of l2o reads up to {VERSION}; "
                    "upgrade l2o, or use another data folder"
                )
            for version in range(found + 1, VERSION + 1) if found else ():
                _run(connection, MIGRATIONS.get(version, ""))
            for table in tables:
                _run(connection, table)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection; outside `writing` each statement is a transaction."""
        held: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if held is None:
            held = sqlite3.connect(
                self.path, timeout=WAIT, isolation_level=None, check_same_thread=False
            )
            held.row_factory = sqlite3.Row
            held.execute("PRAGMA journal_mode = WAL")
            held.execute("PRAGMA synchronous = NORMAL")
            held.execute("PRAGMA foreign_keys = ON")
            self._local.connection = held
            with self._lock:
                self._open.append(held)
        return held

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make one transaction of what is written within; undone if it fails."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def trouble(self) -> str | None:
        """Return what keeps the database from being read and written, None if nothing does."""
        try:
            self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            return f"the database {self.path.name}: {error}"
        return None

    def check(self) -> str:
        """Return "ok", or what SQLite finds damaged; reads the whole file."""
        (found,) = self.connection.execute("PRAGMA integrity_check").fetchone()
        return str(found)

    def backup(self, path: Path) -> Path:
        """Copy the database to a file as it is at this moment, while the server goes on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        copy = sqlite3.connect(path)
        try:
            self.connection.backup(copy)
        finally:
            copy.close()
        return path

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """Run statements within the transaction; `executescript` would end it first."""
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)
