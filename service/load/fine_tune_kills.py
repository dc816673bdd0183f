"""Kills a fine-tune at random moments and goes on: does it end with the same weights?"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from safetensors.torch import load_file

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import FineTuneConfig, Json, Overrides, Seed, count
from l2o.envs.networks.saved import WEIGHTS
from l2o.files.seals import read_json
from l2o.policies.common.checkpoint import CHECKPOINT

_COMPARED = ("scores", "learning_rates", "curve", "confusion", "overlap", "rounds")
"""What of its results is independent of the clock."""
RESULTS = "results.json"
SOON = 0.5
"""Seconds after a new checkpoint within which every other kill falls."""
_REMEDY = "run the study again"


@dataclass
class Answer:
    """What came of it.

    Attributes:
        fine_tunes: that were begun anew, each gone on with to its end.
        kills: that met one of them at work.
        early: of these, before it had written anything.
        seconds: of each, from its start.
        tensors: of the network that is left.
        different: names of those that differ from an undisturbed run's in any bit, of any.
        results: names of results that differ, of any.
    """

    fine_tunes: int = 0
    kills: int = 0
    early: int = 0
    seconds: list[float] = field(default_factory=list)
    tensors: int = 0
    different: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FineTuneKills(Study[Answer]):
    """Kill a fine-tune (SIGKILL) at random moments, go on each time, and compare what is left.

    It is run once undisturbed, which tells how long it takes, its start included. Then it is killed
    and gone on with by `--resume`: in turn at a moment that is uniform over that time, and shortly
    after it has written a new checkpoint. One that ends before its moment is followed by another,
    until there were so many kills. The network that is left must be the same bit by bit, and so
    must its results. Ends with exit code 1 if they are not.
    """

    examples = (
        "l2o study kills digits steps=200 checkpoint_every=10",
        "l2o study kills garments-adapt --kills 3 task.options.size=32",
    )
    config: FineTuneConfig
    overrides: Overrides = ()
    kills: Annotated[int, count("How often it is killed.")] = 10
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Run it undisturbed, then kill and go on, and compare.

        Raises:
            RuntimeError: the fine-tune does not run; the message is what it said last.
        """
        with tempfile.TemporaryDirectory() as folder:
            whole, begun = Path(folder) / "whole", time.monotonic()
            self._run(whole)
            seconds, found = time.monotonic() - begun, Answer()
            while found.kills < self.kills:
                killed = Path(folder) / f"killed-{found.fine_tunes}"
                self._disturb(killed, seconds, found)
                compare(found, whole, killed)
            return found

    def tables(self, answer: Answer) -> Sequence[Table]:
        """Return the counts."""
        rows = [
            ("fine-tunes", str(answer.fine_tunes)),
            ("killed", str(answer.kills)),
            ("killed before it had written anything", str(answer.early)),
            ("seconds from its start", ", ".join(f"{each:.1f}" for each in answer.seconds)),
            ("tensors of the network", str(answer.tensors)),
            ("tensors that differ", str(len(answer.different))),
            ("results that differ", ", ".join(answer.results) or "0"),
        ]
        return [Table("A fine-tune that is killed", ("what", "found"), rows)]

    def holds(self, answer: Answer) -> bool:
        """Tell whether it ended as an undisturbed one."""
        return answer.kills > 0 and not answer.different and not answer.results

    def _begin(self, out: Path, *more: str) -> subprocess.Popen[str]:
        words = [self.config, *self.overrides, "--out", str(out), *more]
        line = [sys.executable, "-m", "l2o", "finetune", *words]
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def _run(self, out: Path, *more: str) -> None:
        process = self._begin(out, *more)
        _, told = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the fine-tune ended with {process.returncode}: {told[-2000:]}")

    def _disturb(self, out: Path, seconds: float, found: Answer) -> None:
        """Kill a fine-tune as often as is still asked for, at most, and let it end."""
        draw = random.Random(f"{self.seed} {found.fine_tunes}")
        while found.kills < self.kills and not (out / RESULTS).exists():
            begun = time.monotonic()
            process = self._begin(out, "--resume")
            at_work = found.kills % 2 == 1 and _wait_for_work(out, process)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=draw.uniform(0.0, SOON if at_work else seconds))
            if process.poll() is None:
                process.kill()
                process.communicate()
                found.kills += 1
                found.early += not (out / CHECKPOINT).exists()
                found.seconds.append(round(time.monotonic() - begun, 2))
            elif process.returncode:
                break
        self._run(out, "--resume")
        found.fine_tunes += 1


def _wait_for_work(out: Path, process: subprocess.Popen[str]) -> bool:
    """Wait until a fine-tune has written a newer checkpoint than there was, or has ended."""
    before = _written(out)
    while process.poll() is None and _written(out) == before:
        time.sleep(0.01)
    return True


def _written(out: Path) -> int:
    path = out / CHECKPOINT
    return path.stat().st_mtime_ns if path.exists() else 0


def compare(found: Answer, whole: Path, killed: Path) -> None:
    """Write into an answer what differs between two runs' folders: tensors bit by bit, results."""
    one, other = (load_file(folder / WEIGHTS) for folder in (whole, killed))
    found.tensors = len(one)
    found.different += [
        name
        for name in sorted({*one, *other})
        if name not in one or name not in other or not torch.equal(one[name], other[name])
    ]
    told, again = (read_json(folder / RESULTS, _REMEDY) for folder in (whole, killed))
    found.results += [name for name in _COMPARED if told.get(name) != again.get(name)]
