"""Kills a server at random moments while it takes and runs jobs; nothing may be lost."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tqdm import tqdm

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, Seed, count
from l2o.service.finetuning.progress import read_progress
from l2o.service.load.process import TOKEN, ServerProcess
from l2o.service.server.jobs.folder import JobFolder

UP_TO = 10.0
"""Seconds after its start within which a server is killed; it takes some of them to start."""
PATIENCE = 300.0
"""Seconds that an answer is waited for."""
_TIMED = ("seconds", "images_per_second", "sha256")


@dataclass
class Answer:
    """What came of it.

    Attributes:
        kills: of the server alone.
        machine_kills: of the server and all that it had started.
        jobs: that were submitted.
        lost: of these that are not there, or did not succeed.
        twice: that are there more than once.
        restarted: attempts beyond the first one of jobs that only lost their server.
        wrong: whose results differ from an undisturbed run's.
        steps_lost: optimizer steps that a run's record lacks.
        damaged: what SQLite found in the database after each kill, if not "ok".
        seconds: until a killed server answered again, each time.
        notes: what went wrong, in sentences.
    """

    kills: int = 0
    machine_kills: int = 0
    jobs: int = 0
    lost: int = 0
    twice: int = 0
    restarted: int = 0
    wrong: int = 0
    steps_lost: int = 0
    damaged: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class JobKills(Study[Answer]):
    """Kill a server at random moments while it takes and runs jobs, and look for what was lost.

    Every job must be there once, succeed, and end in the numbers of an undisturbed run; the
    database must be whole after each kill. Ends with exit code 1 if anything was lost.
    """

    examples = ("l2o study jobs --json jobs.json", "l2o study jobs --kills 2 --jobs 1")
    kills: Annotated[int, count("How often the server is killed.", 0)] = 20
    machine: Annotated[
        int, count("How often the server is killed with the jobs, as by a power cut.", 0)
    ] = 5
    jobs: Annotated[int, count("Fine-tunes that are submitted meanwhile.")] = 6
    steps: Annotated[int, count("Optimizer steps of each.")] = 4000
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Submit, kill, start again, and compare."""
        with tempfile.TemporaryDirectory() as folder:
            return _Trial(self, Path(folder)).run()

    def tables(self, answer: Answer) -> list[Table]:
        """Return the counts, and what went wrong."""
        seconds = sorted(answer.seconds) or [0.0]
        rows = [
            ("server killed", str(answer.kills)),
            ("server and jobs killed", str(answer.machine_kills)),
            ("jobs submitted", str(answer.jobs)),
            ("jobs lost", str(answer.lost)),
            ("jobs run twice", str(answer.twice + answer.restarted)),
            ("results that differ", str(answer.wrong)),
            ("training steps lost", str(answer.steps_lost)),
            ("databases damaged", str(len(answer.damaged))),
            ("seconds until it answered again", f"{seconds[len(seconds) // 2]:.1f} (median)"),
        ]
        found = [Table("Jobs of a killed server", ("what", "found"), rows)]
        if answer.notes:
            found.append(Table("Gone wrong", ("what",), [(note,) for note in answer.notes]))
        return found

    def holds(self, answer: Answer) -> bool:
        """Tell whether nothing was lost."""
        bad = answer.lost + answer.twice + answer.restarted + answer.wrong + answer.steps_lost
        return not bad and not answer.damaged


class _Trial:
    """One server, its jobs, and what happens to them."""

    def __init__(self, study: JobKills, folder: Path) -> None:
        self.study, self.folder = study, folder
        self.draw = random.Random(study.seed)
        self.data = folder / "server" / "data"
        self.found = Answer(jobs=study.jobs)
        self._over = threading.Event()

    def config(self, seed: int) -> dict[str, Any]:
        """Return the config of a fine-tune."""
        loop = {"steps": self.study.steps}
        return {"extends": "digits", "seed": seed, "finetuning": loop, "evaluations": 5}

    def run(self) -> Answer:
        """Do all of it."""
        self.server = ServerProcess(self.folder / "server")
        asking = threading.Thread(target=self._ask_along, daemon=True)
        submitting = threading.Thread(target=self._submit, daemon=True)
        try:
            asking.start()
            submitting.start()
            total = self.study.kills + self.study.machine
            for number in tqdm(range(total), disable=not sys.stderr.isatty(), unit="kill"):
                self._kill(machine=number >= self.study.kills)
            submitting.join()
            jobs = self._wait_for_jobs()
            self._over.set()
            asking.join()
        finally:
            self._over.set()
            self._end()
        self._judge(jobs)
        return self.found

    def _ask_once(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer of one request; OSError if there was none, or half of one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(f"half an answer: {error}") from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of a request, asked until there is one.

        Raises:
            RuntimeError: there was none in time, or the server refuses the request.
        """
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(OSError):
                status, answer = self._ask_once(method, path, body)
                if status < 300:
                    return answer
                if status != 503:
                    raise RuntimeError(f"{method} {path}: {status}, {answer}")
            time.sleep(0.05)
        raise RuntimeError(f"{method} {path} was not answered within {PATIENCE:g} s")

    def _submit(self) -> None:
        """Submit jobs one by one, each under its key until it is heard, over all the kills."""
        for number in range(self.study.jobs):
            asked = {
                "command": "finetune",
                "config": self.config(number),
                "key": str(number),
                "max_resumes": 100,
                "needs": {"memory_gib": 1.0},
            }
            self._ask("POST", "/v1/jobs", asked)
            self._over.wait(self.draw.uniform(0.0, 0.5 * UP_TO))

    def _ask_along(self) -> None:
        """Ask for the list of jobs all the time; whatever is answered must be whole."""
        while not self._over.is_set():
            with suppress(OSError):
                status, answer = self._ask_once("GET", "/v1/jobs?limit=100")
                if status not in (200, 503) or (status == 200 and "jobs" not in answer):
                    self.found.notes.append(f"the list of jobs was answered with {status}")
                    self.found.wrong += 1
            self._over.wait(0.05)

    def _kill(self, machine: bool) -> None:
        time.sleep(self.draw.uniform(0.0, UP_TO))
        self.server.kill()
        if machine:
            self.found.machine_kills += 1
            for group in self._groups():
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        else:
            self.found.kills += 1
        damage = check_database(self.data / "service.db")
        if damage != "ok":
            self.found.damaged.append(damage)
        begun = time.monotonic()
        self.server.begin()
        # Every other time it is killed while it starts.
        if self.draw.random() < 0.5:
            self.server.wait()
            self.found.seconds.append(time.monotonic() - begun)

    def _groups(self) -> list[int]:
        """Return the process groups of jobs that run."""
        found = []
        for path in (self.data / "jobs").glob("*/process.json"):
            folder = JobFolder(path.parent)
            if folder.is_alive:
                found.append(int(json.loads(path.read_text())["pid"]))
        return found

    def _wait_for_jobs(self) -> list[dict[str, Any]]:
        while True:
            told = self._ask("GET", "/v1/jobs?limit=500")
            counts = told["counts"]
            if not counts.get("queued") and not counts.get("running"):
                return list(told["jobs"])
            time.sleep(0.5)

    def _end(self) -> None:
        for group in self._groups():
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.server.kill()

    def _judge(self, jobs: list[dict[str, Any]]) -> None:
        """Hold each job to an undisturbed run of the command line."""
        good = [job for job in jobs if job["state"] == "succeeded"]
        self.found.twice = max(0, len(jobs) - self.study.jobs)
        self.found.lost = self.study.jobs - min(self.study.jobs, len(good))
        self.found.notes += [f"{job['id']}: {job['reason']}" for job in jobs if job not in good]
        if not self.study.machine:
            self.found.restarted = sum(job["attempt"] - 1 for job in jobs)
        for job in good:
            run = self.data / job["folder"]
            steps = [row["step"] for row in read_progress(run) if "train/loss" in row]
            if steps != sorted(set(steps)) or not steps or steps[-1] != self.study.steps:
                self.found.steps_lost += self.study.steps - max(steps, default=0)
                self.found.notes.append(f"{job['id']}: its rows do not count up to the end")
            if outcome(run) != outcome(self._undisturbed(run)):
                self.found.wrong += 1
                self.found.notes.append(f"{job['id']}: results are not those of a plain run")

    def _undisturbed(self, run: Path) -> Path:
        """Run a job's config by the command line; return the folder."""
        out = self.folder / "plain" / run.parent.name
        words = ["finetune", str(run / "config.yaml"), "--out", str(out)]
        python = [sys.executable, *(["-P"] if sys.flags.safe_path else [])]
        subprocess.run([*python, "-m", "l2o", *words], check=True, capture_output=True)
        return out


def outcome(run: Path) -> dict[str, Any]:
    """Return a run's results without what is measured by the clock."""
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    return {name: value for name, value in results.items() if name not in _TIMED}


def check_database(path: Path) -> str:
    """Return "ok", or what SQLite finds damaged in a database that nobody has open."""
    if not path.exists():
        return "ok"  # killed before it was made
    with closing(sqlite3.connect(path)) as connection:
        try:
            found: Sequence[tuple[str]] = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.Error as error:
            return str(error)
    return "; ".join(row[0] for row in found)
