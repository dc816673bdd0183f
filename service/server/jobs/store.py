"""Jobs in the database: what was asked for, and where each stands."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

from l2o.service.server.database import Database
from l2o.service.server.jobs.base import (
    ENDED,
    Job,
    JobStateError,
    Needs,
    State,
    UnknownJobError,
)

_IN_TURN = "ORDER BY priority DESC, number"


class JobStore:
    """Reads and writes jobs; every change is one transaction.

    Args:
        database: of the server, with the tables of `l2o.service.server.jobs.tables`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def new_id(self) -> str:
        """Return an id that no job has."""
        return secrets.token_hex(6)

    def find_key(self, key: str) -> Job | None:
        """Return the job that was submitted under a key, None if there is none."""
        found = self._rows("SELECT * FROM jobs WHERE key = ?", (key,))
        return self._jobs(found)[0] if found else None

    def add(
        self,
        id: str,
        command: str,
        *,
        name: str = "",
        priority: int = 0,
        needs: Needs | None = None,
        after: Sequence[str] = (),
        max_resumes: int = 3,
        key: str | None = None,
    ) -> Job:
        """Add a queued job, whose folder is there already; return it.

        A key that a job has already gives that job, so that who did not hear the answer may ask
        again.

        Raises:
            UnknownJobError: it is to come after a job that is not there.
        """
        with self.database.writing() as connection:
            for other in after:
                if not connection.execute("SELECT 1 FROM jobs WHERE id = ?", (other,)).fetchone():
                    raise UnknownJobError(other)
            values = (id, key, command, name or command, priority)
            added = connection.execute(
                "INSERT INTO jobs (id, key, command, name, priority, needs, state, max_resumes, "
                "created) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?) ON CONFLICT (key) DO NOTHING",
                (*values, (needs or Needs()).model_dump_json(), max_resumes, time.time()),
            )
            if added.rowcount:
                connection.executemany(
                    "INSERT OR IGNORE INTO job_dependencies (job, needs) VALUES (?, ?)",
                    [(id, other) for other in after],
                )
        if not added.rowcount and key is not None:
            found = self.find_key(key)
            if found is not None:
                return found
        return self.get(id)

    def get(self, id: str) -> Job:
        """Return a job.

        Raises:
            UnknownJobError: there is none of that id.
        """
        rows = self._rows("SELECT * FROM jobs WHERE id = ?", (id,))
        if not rows:
            raise UnknownJobError(id)
        return self._jobs(rows)[0]

    def select(
        self, states: Iterable[State] = (), limit: int = 100, before: str | None = None
    ) -> list[Job]:
        """Return jobs, the newest first.

        Args:
            states: those wanted; none given are all.
            limit: at most so many.
            before: only jobs that are older than this one.

        Raises:
            UnknownJobError: `before` is no job.
        """
        wanted = tuple(states)
        where, values = ["1"], list[Any](wanted)
        if wanted:
            where.append(f"state IN ({', '.join('?' * len(wanted))})")
        if before is not None:
            self.get(before)
            where.append("number < (SELECT number FROM jobs WHERE id = ?)")
            values.append(before)
        query = f"SELECT * FROM jobs WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?"
        return self._jobs(self._rows(query, (*values, limit)))

    def count(self) -> dict[str, int]:
        """Return how many jobs there are in each state that any is in."""
        rows = self._rows("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
        return {row["state"]: row["jobs"] for row in rows}

    def running(self) -> list[Job]:
        """Return the jobs that run."""
        return self._jobs(self._rows(f"SELECT * FROM jobs WHERE state = 'running' {_IN_TURN}"))

    def ready(self, limit: int = 100) -> list[Job]:
        """Return queued jobs that wait for no other, in their turn."""
        return self._jobs(
            self._rows(
                "SELECT * FROM jobs WHERE state = 'queued' AND NOT EXISTS (SELECT 1 FROM "
                "job_dependencies AS d LEFT JOIN jobs AS other ON other.id = d.needs WHERE "
                f"d.job = jobs.id AND other.state IS NOT 'succeeded') {_IN_TURN} LIMIT ?",
                (limit,),
            )
        )

    def fail_orphans(self) -> int:
        """Fail queued jobs whose dependencies failed, were cancelled or deleted; count them."""
        rows = self._rows(
            "SELECT jobs.id AS id, d.needs AS needs, other.state AS state FROM jobs "
            "JOIN job_dependencies AS d ON d.job = jobs.id "
            "LEFT JOIN jobs AS other ON other.id = d.needs WHERE jobs.state = 'queued' "
            "AND (other.state IS NULL OR other.state IN ('failed', 'cancelled'))"
        )
        for row in rows:
            became = {"failed": "failed", "cancelled": "was cancelled"}.get(row["state"] or "")
            told = f"job {row['needs']}, which it comes after, {became or 'was deleted'}"
            self._move(row["id"], "failed", ("queued",), reason=told, ended=time.time())
        return len(rows)

    def begin(self, id: str, cores: Sequence[int], gpus: Sequence[int]) -> Job | None:
        """Note that the next attempt of a queued job begins; None where it is not queued now."""
        with self.database.writing() as connection:
            moved = connection.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, reason = '', cores = ?, "
                "gpus = ?, started = coalesce(started, ?) WHERE id = ? AND state = 'queued'",
                (json.dumps(list(cores)), json.dumps(list(gpus)), time.time(), id),
            )
        return self.get(id) if moved.rowcount else None

    def end(self, id: str, state: State, reason: str = "") -> None:
        """Note how a running job ended."""
        self._move(id, state, ("running",), reason=reason, ended=time.time())

    def queue_again(self, id: str, reason: str) -> None:
        """Note that a running job was killed, and put it back into the queue."""
        self._move(id, "queued", ("running",), reason=reason, more_kills=1)

    def cancel(self, id: str) -> Job:
        """Cancel a queued job, or ask that a running one stop; one that has ended stays so."""
        self._move(id, "cancelled", ("queued",), reason="cancelled", ended=time.time())
        with self.database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (id,)
            )
        return self.get(id)

    def retry(self, id: str) -> Job:
        """Queue a job again that failed or was cancelled; it goes on from its folder.

        Raises:
            UnknownJobError: there is none of that id.
            JobStateError: it is neither failed nor cancelled.
        """
        states: tuple[State, ...] = ("failed", "cancelled")
        if not self._move(id, "queued", states, reason="", kills=0, cancelling=0, ended=None):
            state = self.get(id).state
            raise JobStateError(
                f"job {id} is {state}; only one that failed or was cancelled can be retried"
            )
        return self.get(id)

    def delete(self, id: str) -> None:
        """Forget a job that has ended.

        Raises:
            UnknownJobError: there is none of that id.
            JobStateError: it has not ended.
        """
        state = self.get(id).state
        with self.database.writing() as connection:
            gone = connection.execute(
                f"DELETE FROM jobs WHERE id = ? AND state IN ({', '.join('?' * len(ENDED))})",
                (id, *ENDED),
            )
        if not gone.rowcount:
            raise JobStateError(f"job {id} is {state}; cancel it before it is deleted")

    def _move(
        self, id: str, to: State, states: Sequence[State], *, more_kills: int = 0, **fields: Any
    ) -> bool:
        """Put a job into another state if it is in one of these; tell whether it was."""
        assigned = ", ".join(["state = ?", "kills = kills + ?", *(f"{k} = ?" for k in fields)])
        with self.database.writing() as connection:
            moved = connection.execute(
                f"UPDATE jobs SET {assigned} WHERE id = ? AND "
                f"state IN ({', '.join('?' * len(states))})",
                (to, more_kills, *fields.values(), id, *states),
            )
        return bool(moved.rowcount)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        return self.database.connection.execute(query, values).fetchall()

    def _jobs(self, rows: Sequence[sqlite3.Row]) -> list[Job]:
        ids = [row["id"] for row in rows]
        after: dict[str, list[str]] = {id: [] for id in ids}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT job, needs FROM job_dependencies WHERE job IN ({marks})"
            for row in self._rows(query, some):
                after[row["job"]].append(row["needs"])
        return [_job(row, after[row["id"]]) for row in rows]


def _job(row: sqlite3.Row, after: Sequence[str]) -> Job:
    return Job(
        id=row["id"],
        command=row["command"],
        name=row["name"],
        priority=row["priority"],
        needs=Needs.model_validate_json(row["needs"]),
        after=tuple(sorted(after)),
        state=row["state"],
        reason=row["reason"],
        attempt=row["attempt"],
        kills=row["kills"],
        max_resumes=row["max_resumes"],
        cancelling=bool(row["cancelling"]),
        cores=tuple(json.loads(row["cores"])),
        gpus=tuple(json.loads(row["gpus"])),
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
    )
