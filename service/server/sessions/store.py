"""Sessions in the database, and the answers that were given in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from time import time

import numpy as np
from numpy.typing import NDArray

from l2o.service.server.database import Database
from l2o.service.server.errors import Problem, shown
from l2o.service.server.sessions.models import Opening, Told

Array = NDArray[np.float32]
AT_ONCE = 500
"""Sessions that are forgotten in one transaction, so that decisions need not wait for long."""
_REMEDY = "open a new one with POST /v1/sessions"


@dataclass
class Kept:
    """A session as the database has it."""

    id: str
    policy: str
    opening: str
    owner: str
    created: float
    expires: float
    progress: bytes


class SessionStore:
    """Keeps sessions until they expire.

    Args:
        database: with the tables of sessions.
        seconds: without a decision after which a session expires.
        most: sessions at once.
    """

    def __init__(self, database: Database, seconds: float, most: int) -> None:
        self.database, self.seconds, self.most = database, seconds, most

    def expiry(self) -> float:
        """Return when a session that is asked now expires."""
        return time() + self.seconds

    def add(self, kept: Kept, answer: Array, digest: bytes) -> None:
        """Keep a new session and its first answer.

        Raises:
            Problem: with status 503: there are too many.
        """
        with self.database.writing() as connection:
            (count,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
            if count >= self.most:
                raise Problem(
                    503,
                    f"the server keeps {count} sessions, and no more",
                    "delete some, or wait until some expire",
                )
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(vars(kept).values())
            )
            _insert_answer(connection, kept.id, 0, digest, answer)

    def read(self, session: str) -> Kept:
        """Return a session.

        Raises:
            Problem: there is none, or it has expired.
        """
        row = self.database.connection.execute(
            "SELECT * FROM sessions WHERE id = ?", (session,)
        ).fetchone()
        if row is None:
            raise Problem(404, f"there is no session {shown(session)}", _REMEDY)
        kept = Kept(*row)
        if kept.expires < time():
            raise Problem(410, f"session {session} has expired", _REMEDY)
        return kept

    def answer(self, session: str, step: int) -> tuple[bytes, Array] | None:
        """Return digest, multipliers and rates of a decision that was taken, if it was."""
        row = self.database.connection.execute(
            "SELECT digest, answer FROM decisions WHERE session = ? AND step = ?",
            (session, step),
        ).fetchone()
        return None if row is None else (row[0], _numbers(row[1]))

    def answers(self, session: str, after: int, most: int) -> list[tuple[int, Array]]:
        """Return steps, multipliers and rates of decisions, in order."""
        rows = self.database.connection.execute(
            "SELECT step, answer FROM decisions WHERE session = ? AND step > ? "
            "ORDER BY step LIMIT ?",
            (session, after, most),
        )
        return [(row[0], _numbers(row[1])) for row in rows]

    def advance(
        self, session: str, step: int, digest: bytes, answer: Array, progress: bytes
    ) -> None:
        """Keep an answer and how far the session is now; within a transaction."""
        connection = self.database.connection
        _insert_answer(connection, session, step, digest, answer)
        connection.execute(
            "UPDATE sessions SET progress = ?, expires = ? WHERE id = ?",
            (progress, self.expiry(), session),
        )

    def listing(self, most: int, offset: int) -> list[Told]:
        """Return sessions, the newest first."""
        rows = self.database.connection.execute(
            "SELECT * FROM sessions WHERE expires >= ? ORDER BY created DESC, id LIMIT ? OFFSET ?",
            (time(), most, offset),
        ).fetchall()
        return [self.told(Kept(*row)) for row in rows]

    def told(self, kept: Kept) -> Told:
        """Return what is shown of a session."""
        opening = Opening.model_validate_json(kept.opening)
        (step,) = self.database.connection.execute(
            "SELECT max(step) FROM decisions WHERE session = ?", (kept.id,)
        ).fetchone()
        return Told(
            session=kept.id,
            name=opening.name,
            policy=kept.policy,
            owner=kept.owner,
            groups=len(opening.groups),
            step=step or 0,
            total_steps=opening.total_steps,
            created=kept.created,
            expires=kept.expires,
        )

    def remove(self, session: str) -> None:
        """Forget a session.

        Raises:
            Problem: there is none.
        """
        with self.database.writing() as connection:
            done = connection.execute("DELETE FROM sessions WHERE id = ?", (session,))
        if not done.rowcount:
            raise Problem(404, f"there is no session {shown(session)}", _REMEDY)

    def forget_expired(self) -> int:
        """Forget some of the sessions that have expired; return how many."""
        # What has just expired is told so for a while: "gone" says more than "not found".
        before = time() - min(self.seconds, 3600.0)
        with self.database.writing() as connection:
            done = connection.execute(
                "DELETE FROM sessions WHERE id IN "
                "(SELECT id FROM sessions WHERE expires < ? LIMIT ?)",
                (before, AT_ONCE),
            )
        return done.rowcount

    def count(self) -> int:
        """Return how many sessions there are."""
        row: Sequence[int] = self.database.connection.execute(
            "SELECT count(*) FROM sessions"
        ).fetchone()
        return row[0]


def _insert_answer(
    connection: sqlite3.Connection, session: str, step: int, digest: bytes, answer: Array
) -> None:
    packed = answer.astype("<f4", copy=False).tobytes()
    connection.execute("INSERT INTO decisions VALUES (?, ?, ?, ?)", (session, step, digest, packed))


def _numbers(data: bytes) -> Array:
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(2, -1)
