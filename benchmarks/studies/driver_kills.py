"""Programs on a Ray cluster that are killed on their way, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.local_cluster import local_cluster, workers_of
from l2o.benchmarks.studies.options import Json, count, names
from l2o.extras import require

PATIENCE = 1800.0
"""Seconds that a program is given to get on."""
GRACE = 60.0
"""Seconds in which workers of a dead driver are to be gone."""
_TIMED = ("seconds", "sha256")


@dataclass(frozen=True)
class Program:
    """A command, how far it is, and what is held to an undisturbed run's.

    Attributes:
        words: of the command line, less the folder.
        lines: patterns of files that get a line for each piece that is finished.
        result: what it comes to, from its folder.
        same: whether that follows from the config alone, whatever was killed.
    """

    words: tuple[str, ...]
    lines: str
    result: Callable[[Path], Any]
    same: bool = True

    def pieces(self, folder: Path) -> list[str]:
        """Return the lines of what is finished."""
        return [
            line
            for path in sorted(folder.glob(self.lines))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]


@dataclass(frozen=True)
class Row:
    """What came of one program.

    Attributes:
        program: the command.
        stop: the signal.
        kills: how often it was stopped.
        pieces: that were finished in the end.
        kept: of these, those that were finished before the last start.
        twice: that are there more than once.
        ended: whether the last start ended by itself, with exit code 0.
        same: whether it came to what an undisturbed run did.
        left: workers still alive a minute after a stop.
    """

    program: str
    stop: str
    kills: int
    pieces: int
    kept: int
    twice: int
    ended: bool
    same: bool | None
    left: int


@dataclass(frozen=True)
class Answer:
    """A row for each program and signal."""

    rows: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class DriverKills(Study[Answer]):
    """Stop `l2o tune`, `l2o train` and `l2o benchmark` on a cluster of two local nodes.

    Each is run undisturbed, then killed --kills times on its way and run again. What it comes to is
    compared: trials of a grid and records of a benchmark in every digit; a training draws other
    episodes after a stop, so of it only that it goes on.
    """

    examples = ("l2o study driver-kills --kills 2 --json driver-kills.json",)
    title = "Drivers that are killed"
    columns = {
        "": lambda row: f"{row.program}, {row.stop}",
        "kills": lambda row: str(row.kills),
        "pieces": lambda row: str(row.pieces),
        "kept over the last kill": lambda row: str(row.kept),
        "twice": lambda row: str(row.twice),
        "ended": lambda row: "yes" if row.ended else "no",
        "as undisturbed": lambda row: {True: "yes", False: "no", None: "—"}[row.same],
        "workers left": lambda row: str(row.left),
    }
    programs: Annotated[tuple[str, ...], names("tune, train, benchmark.")] = (
        "tune",
        "train",
        "benchmark",
    )
    kills: Annotated[int, count("Times that each is stopped.")] = 2
    stops: Annotated[tuple[str, ...], names("Signals.")] = ("SIGKILL",)
    steps: Annotated[int, count("Optimizer steps of a fine-tune.")] = 60
    json: Json = None

    def answer(self) -> Answer:
        """Run, stop and go on."""
        require("l2o study driver-kills", "ray", "psutil", extra="ray")
        programs = programs_of(self.steps)
        rows = []
        with local_cluster(2) as cluster, tempfile.TemporaryDirectory() as name:
            for program in self.programs:
                whole = Path(name) / f"{program}-whole"
                if _run(programs[program], whole, cluster.address):
                    words = " ".join(programs[program].words)
                    raise RuntimeError(f"undisturbed, l2o {words} fails, too; run it to see why")
                for stop in self.stops:
                    folder = Path(name) / f"{program}-{stop}"
                    rows.append(self._disturb(program, stop, whole, folder, cluster))
        return Answer(rows)

    def _disturb(self, name: str, stop: str, whole: Path, folder: Path, cluster: Any) -> Row:
        program, left, before = programs_of(self.steps)[name], 0, 0
        total = len(program.pieces(whole))
        for kill in range(1, self.kills + 1):
            before = max(before + 1, kill * total // (self.kills + 1))
            before = _stop_at(program, folder, before, stop, cluster)
            left += _workers_left(cluster)
        code = _run(program, folder, cluster.address)
        found = program.pieces(folder)
        same = program.result(folder) == program.result(whole) if program.same else None
        return Row(
            f"l2o {name}",
            stop,
            self.kills,
            len(found),
            before,
            len(found) - len(set(found)),
            code == 0,
            same,
            left,
        )


def programs_of(steps: int) -> dict[str, Program]:
    """Return the commands, small: they are about what is lost, not about learning."""
    grid = ("search.base_lr={choice: [0.003, 0.03, 0.3]}", "search.choice.schedule=null")
    rest = ("search.choice.profile=null", "search.finetuning.guidance.proxy_kl.weight=null")
    tune = ("searcher=grid", "scheduler=fifo", f"changes.finetuning.steps={steps}", "reports=3")
    ray = ("executor=ray", f"finetuning.steps={steps}")
    short = (
        "episodes=128",
        "minutes=null",
        "checkpoint_every=1",
        "evaluation.every=100",
        "algorithm.options.decisions=240",
    )
    few = (
        "tasks=1",
        "seeds=1",
        "stacked=false",
        "evaluations=1",
        "grid.profiles=[flat, small_backbone]",
        "grid.schedules=[cosine]",
    )
    return {
        "tune": Program(
            ("tune", "digits", *grid, *rest, *tune, "--resume"),
            "trials/*/reports.jsonl",
            _trials,
        ),
        "train": Program(
            ("train", "demo", *ray, *short, "--resume"),
            "metrics.jsonl",
            _budget,
            same=False,
        ),
        "benchmark": Program(
            ("benchmark", "demo", *ray, *few, "--workers", "2"),
            "cells.jsonl",
            _records,
        ),
    }


def _trials(folder: Path) -> Any:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found["best"], found["trials"]


def _records(folder: Path) -> Any:
    lines = (folder / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["id"]: {k: v for k, v in row.items() if k not in _TIMED} for row in rows}


def _budget(folder: Path) -> Any:
    return (folder / "policy.safetensors").exists()


def _start(program: Program, folder: Path, address: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "l2o", *program.words, "--out", str(folder)]
    found: Mapping[str, str] = {**os.environ, "RAY_ADDRESS": address}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, env=found, stdout=quiet, stderr=quiet, start_new_session=True)


def _run(program: Program, folder: Path, address: str) -> int:
    return _start(program, folder, address).wait(PATIENCE)


def _stop_at(program: Program, folder: Path, pieces: int, stop: str, cluster: Any) -> int:
    """Start a program, stop it once so many pieces are finished; return how many there are."""
    run, until = _start(program, folder, cluster.address), time.monotonic() + PATIENCE
    while len(program.pieces(folder)) < pieces and run.poll() is None:
        if time.monotonic() > until:
            run.kill()
            raise RuntimeError(f"l2o {program.words[0]} did not get on in {PATIENCE:g} seconds")
        time.sleep(0.05)
    run.send_signal(signal.Signals[stop])
    run.wait(GRACE)
    return len(program.pieces(folder))


def _workers_left(cluster: Any) -> int:
    """Return how many workers live on once their driver is gone."""
    until = time.monotonic() + GRACE
    while (left := workers_of(cluster)) and time.monotonic() < until:
        time.sleep(0.2)
    return len(left)
