"""Runs and their events in the database, within bounds."""

from __future__ import annotations

from time import time

from l2o.service.server.database import Database
from l2o.service.server.errors import Problem, shown
from l2o.service.server.telemetry.models import Events, Facts, Numbered, Run

MOST_EVENTS = 50_000
"""Events of one run that are kept: the newest."""
MOST_RUNS = 10_000
KEPT_SECONDS = 30 * 86_400.0
"""For how long runs are kept that are not heard any more."""


class TelemetryStore:
    """Keeps what runs send.

    Args:
        database: with the tables of telemetry.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, run: str, facts: Facts, owner: str) -> Run:
        """Take note of a run; again, of its newer facts."""
        now = time()
        with self.database.writing() as connection:
            connection.execute(
                "INSERT INTO telemetry_runs VALUES (?, ?, ?, ?, ?, 0, 0, NULL) "
                "ON CONFLICT (id) DO UPDATE SET facts = excluded.facts, seen = excluded.seen",
                (run, facts.model_dump_json(), owner, now, now),
            )
        return self.run(run)

    def add(self, run: str, events: Events) -> int:
        """Take in events, those that are known already once; return the number that comes next.

        A run may drop events that its buffer has no room for: then numbers are left out.

        Raises:
            Problem: there is no such run.
        """
        last = events.first + len(events.events)
        rows = [
            (run, number, event.model_dump_json(exclude_defaults=True))
            for number, event in enumerate(events.events, events.first)
        ]
        with self.database.writing() as connection:
            found = connection.execute(
                "UPDATE telemetry_runs SET seen = ?, events = max(events, ?) WHERE id = ?",
                (time(), last, run),
            )
            if not found.rowcount:
                raise _unknown(run)
            connection.executemany(
                "INSERT INTO telemetry_events VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
            connection.execute(
                "DELETE FROM telemetry_events WHERE run = ? AND number < ?",
                (run, last - MOST_EVENTS),
            )
        return self.run(run).events

    def end(self, run: str, dropped: int) -> Run:
        """Take note that a run is over."""
        with self.database.writing() as connection:
            connection.execute(
                "UPDATE telemetry_runs SET seen = ?, ended = ?, dropped = ? WHERE id = ?",
                (time(), time(), dropped, run),
            )
        return self.run(run)

    def run(self, run: str) -> Run:
        """Return a run.

        Raises:
            Problem: there is none.
        """
        rows = self._runs("WHERE id = ?", run)
        if not rows:
            raise _unknown(run)
        return rows[0]

    def runs(self, most: int = 100, offset: int = 0) -> list[Run]:
        """Return runs, those that were heard last first."""
        return self._runs("ORDER BY seen DESC, id LIMIT ? OFFSET ?", most, offset)

    def events(self, run: str, after: int = -1, most: int = 1000) -> list[Numbered]:
        """Return the events after a number, in order."""
        rows = self.database.connection.execute(
            "SELECT number, event FROM telemetry_events WHERE run = ? AND number > ? "
            "ORDER BY number LIMIT ?",
            (run, after, most),
        )
        return [Numbered.model_validate_json(f'{{"number":{n},{text[1:]}') for n, text in rows]

    def remove(self, run: str) -> None:
        """Forget a run; Problem if there is none."""
        with self.database.writing() as connection:
            done = connection.execute("DELETE FROM telemetry_runs WHERE id = ?", (run,))
        if not done.rowcount:
            raise _unknown(run)

    def forget_old(self) -> int:
        """Forget runs that were not heard for long, and the oldest of too many."""
        with self.database.writing() as connection:
            done = connection.execute(
                "DELETE FROM telemetry_runs WHERE id IN ("
                "SELECT id FROM telemetry_runs WHERE seen < ? UNION "
                "SELECT id FROM (SELECT id FROM telemetry_runs ORDER BY seen DESC "
                "LIMIT -1 OFFSET ?) LIMIT 100)",
                (time() - KEPT_SECONDS, MOST_RUNS),
            )
        return done.rowcount

    def _runs(self, which: str, *values: object) -> list[Run]:
        rows = self.database.connection.execute(f"SELECT * FROM telemetry_runs {which}", values)
        return [
            Run(
                run=row["id"],
                facts=Facts.model_validate_json(row["facts"]),
                **{key: row[key] for key in row.keys() if key not in ("id", "facts")},  # noqa: SIM118
            )
            for row in rows
        ]


def _unknown(run: str) -> Problem:
    return Problem(404, f"there is no run {shown(run)}", "PUT /v1/telemetry/runs/RUN begins one")
