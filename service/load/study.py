"""A server that is ill-treated: killed, fed with nonsense, filled with sessions and jobs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, Seed, count
from l2o.service.load.fuzzing import Fuzzed, fuzz
from l2o.service.load.kills import Killed, kill_at_random
from l2o.service.load.process import ServerProcess
from l2o.service.load.sessions import measurement, opening


@dataclass(frozen=True)
class Filled:
    """Memory of a server before and after sessions or jobs, in MiB, and its database's size."""

    count: int
    before_mib: float
    half_mib: float
    after_mib: float
    database_mib: float


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    killed: Killed | None
    fuzzed: Fuzzed | None
    filled: Filled | None
    queued: Filled | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return told


@dataclass(frozen=True, kw_only=True)
class ServiceStudy(Study[Answer]):
    """Kill a server at random, send it drawn requests, fill it; look at what is left.

    No training step may be lost and no answer be another one, the database must be whole, no
    request may make the server fail, and its memory stays bounded. 0 leaves a part out.
    """

    examples = ("l2o study service --json service.json", "l2o study service --kills 3")
    kills: Annotated[int, count("How often it is killed.", 0)] = 20
    requests: Annotated[int, count("Requests drawn from its schema.", 0)] = 10_000
    sessions: Annotated[int, count("Sessions that it is filled with.", 0)] = 10_000
    jobs: Annotated[int, count("Jobs that wait in its queue.", 0)] = 1_000
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Do one after the other, each to a server of its own."""
        return Answer(
            _in_folder(self._kill) if self.kills else None,
            _in_folder(self._fuzz) if self.requests else None,
            _in_folder(self._fill) if self.sessions else None,
            _in_folder(self._queue) if self.jobs else None,
        )

    def _kill(self, folder: Path) -> Killed:
        return kill_at_random(folder, self.kills, sessions=8, trainings=2, seed=self.seed)

    def _fuzz(self, folder: Path) -> Fuzzed:
        with ServerProcess(folder, "rate=1e6") as server:
            return fuzz(server, self.requests, self.seed)

    def _fill(self, folder: Path) -> Filled:
        with ServerProcess(folder, "rate=1e6") as server:
            client = server.client()

            def open_session(number: int) -> None:
                session = client.ask("POST", "/v1/sessions", opening(32, number))["session"]
                client.ask("POST", f"/v1/sessions/{session}/decisions", measurement(32, number))

            return _filled(server, self.sessions, open_session)

    def _queue(self, folder: Path) -> Filled:
        with ServerProcess(folder, "rate=1e6") as server:
            client = server.client()
            long = {"command": "finetune", "config": "extends: digits\nsteps: 1000000\n"}
            first = client.ask("POST", "/v1/jobs", long)["id"]
            found = _filled(
                server,
                self.jobs,
                lambda number: client.ask("POST", "/v1/jobs", {**long, "after": [first]}),
            )
            client.ask("POST", f"/v1/jobs/{first}/cancel", {})
            while client.ask("GET", f"/v1/jobs/{first}")["state"] in ("queued", "running"):
                time.sleep(0.2)  # jobs outlive their server
            return found

    def tables(self, answer: Answer) -> list[Table]:
        """Return what was found, part by part."""
        found = []
        if answer.killed is not None:
            found.append(_table("Killed at random", asdict(answer.killed)))
        if answer.fuzzed is not None:
            told = asdict(answer.fuzzed) | {"failures": len(answer.fuzzed.failures)}
            told.pop("by_path")
            found.append(_table("Drawn requests", told))
            found += [_table("Failures", dict(enumerate(answer.fuzzed.failures[:20])))][
                : bool(answer.fuzzed.failures)
            ]
        if answer.filled is not None:
            found.append(_table("Filled with sessions", asdict(answer.filled)))
        if answer.queued is not None:
            found.append(_table("Filled with jobs", asdict(answer.queued)))
        return found

    def holds(self, answer: Answer) -> bool:
        """Tell whether nothing was lost, nothing failed, and memory stayed bounded."""
        fine = True
        if (killed := answer.killed) is not None:
            lost = killed.wrong + killed.lost_steps + killed.lost_decisions
            fine &= killed.database == "ok" and not lost + killed.other_multipliers
        if (fuzzed := answer.fuzzed) is not None:
            fine &= not fuzzed.failures and not fuzzed.tracebacks + fuzzed.logged
        for filled in (answer.filled, answer.queued):
            fine &= filled is None or filled.after_mib < filled.half_mib + 100
        return fine


def _filled(server: ServerProcess, total: int, add: Callable[[int], object]) -> Filled:
    """Add so many things to a server, and look at its memory on the way."""
    sizes: list[int] = []
    for number in range(total):
        if number in (min(10, total - 1), total // 2):
            sizes.append(server.resident)
        add(number)
    sizes.append(server.resident)
    files = server.database.parent.glob("service.db*")
    sizes.append(sum(file.stat().st_size for file in files))
    return Filled(total, *(round(size / 2**20, 1) for size in sizes))


def _in_folder(part: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return part(Path(folder))


def _table(title: str, told: dict[Any, Any]) -> Table:
    return Table(title, ("what", "found"), [(str(k), str(v)) for k, v in told.items()])
