"""Sessions in the database, and the answers that were given in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from l2o.service.server.database import Database
from l2o.service.server.errors import Problem, shown
from l2o.service.server.sessions.journal import Journal
from l2o.service.server.sessions.models import Opening, Told

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


class SessionStore:
    """Keeps sessions until they expire.

    Args:
        database: with the tables of sessions.
        seconds: without a decision after which a session expires.
        most: sessions at once.
    """

    def __init__(self, database: Database, seconds: float, most: int) -> None:
        self.database, self.seconds, self.most = database, seconds, most
        self.journal: Journal | None = None

    def expiry(self) -> float:
        """Return when a session that is asked now expires."""
        return time() + self.seconds

    def add(self, kept: Kept, digest: bytes, progress: bytes) -> None:
        """Keep a new session and its first decision.

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
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", tuple(vars(kept).values())
            )
            self.advance(kept.id, 0, digest, progress)

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
            raise expired(session)
        return kept

    def newest(self, session: str) -> bytes:
        """Return how far a session is after its newest decision."""
        waiting = None if self.journal is None else self.journal.newest(session)
        if waiting is not None:
            return waiting[1]
        (progress,) = self.database.connection.execute(
            "SELECT progress FROM decisions WHERE session = ? ORDER BY step DESC LIMIT 1",
            (session,),
        ).fetchone()
        found: bytes = progress
        return found

    def decision(self, session: str, step: int) -> tuple[bytes, bytes] | None:
        """Return what a decision was asked, as a digest, and how far the session was after it."""
        waiting = None if self.journal is None else self.journal.find(session, step)
        if waiting is not None:
            return waiting
        row = self.database.connection.execute(
            "SELECT digest, progress FROM decisions WHERE session = ? AND step = ?",
            (session, step),
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def decisions(self, session: str, after: int, most: int) -> list[bytes]:
        """Return how far a session was after each of its decisions, in order."""
        waiting = self._waiting(session)  # before the database, into which they may be moved now
        rows = self.database.connection.execute(
            "SELECT step, progress FROM decisions WHERE session = ? AND step > ? "
            "ORDER BY step LIMIT ?",
            (session, after, most),
        )
        found = {step: progress for step, (_, progress) in waiting.items() if step > after}
        found |= {row[0]: row[1] for row in rows}
        return [found[step] for step in sorted(found)[:most]]

    def _waiting(self, session: str) -> dict[int, tuple[bytes, bytes]]:
        """Return the decisions of a session that are not yet in the database."""
        return {} if self.journal is None else self.journal.of(session)

    def advance(self, session: str, step: int, digest: bytes, progress: bytes) -> None:
        """Keep a decision: what was asked, and how far the session is; within a transaction."""
        self.database.connection.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?)", (session, step, digest, progress)
        )

    def prolong(self, session: str, expires: float) -> float:
        """Let a session that is asked expire later; return when it does.

        It is written down once in a while, not at every decision.
        """
        later = self.expiry()
        if later - expires < 0.02 * self.seconds:
            return expires
        self.database.connection.execute(
            "UPDATE sessions SET expires = ? WHERE id = ?", (later, session)
        )
        return later

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
        waiting = self._waiting(kept.id)
        (step,) = self.database.connection.execute(
            "SELECT max(step) FROM decisions WHERE session = ?", (kept.id,)
        ).fetchone()
        return Told(
            session=kept.id,
            name=opening.name,
            policy=kept.policy,
            owner=kept.owner,
            groups=len(opening.groups),
            step=max([step or 0, *waiting]),
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


def expired(session: str) -> Problem:
    """Return the problem of a session that was not asked for too long."""
    return Problem(410, f"session {shown(session)} has expired", _REMEDY)
