"""How fast a server decides: live sessions, decisions taken together, a fine-tune elsewhere."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from l2o.benchmarks.cells.cell import load_task
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold
from l2o.benchmarks.speed.training import POLICY
from l2o.benchmarks.studies.options import Quick, count
from l2o.configs.load import load_config
from l2o.deciding.bundle import load_bundle
from l2o.deciding.policy import Policy
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.integrations.remote.policy import RemotePolicy
from l2o.service.load.process import TOKEN, ServerProcess
from l2o.service.load.sessions import (
    connect,
    measurement,
    open_all,
    request,
    run_live,
)
from l2o.service.server.policies.batches import CHUNK, Question, decide

T = TypeVar("T")
LIVE, ALONE, TOGETHER = "live sessions", "policy(), one at a time", "decided together"
WIRE, WIRE_TOGETHER = "over HTTP, one a request", "over HTTP, several a request"
HERE, THERE = "fine-tune, policy here", "fine-tune, RemotePolicy"


@dataclass(frozen=True)
class Row:
    """What was measured of one way to decide.

    Attributes:
        what: the way.
        decisions: how many were timed.
        per_second: decisions a second.
        p50_ms: median time of one, milliseconds.
        p99_ms: the 99th percentile.
        cpu_ms: processor time of the server for each, where there is one.
        client_cpu_ms: processor time of those who asked.
        same: whether multipliers are those of the policy here; None where that is not asked.
    """

    what: str
    decisions: int
    per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: float | None = None
    client_cpu_ms: float | None = None
    same: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Service(Measurement[Row]):
    """Measure how fast a server decides, on the loopback of this machine.

    Live sessions decide once a second each, evenly spread, each on a connection of its own. A
    fine-tune is run by the policy here and by `RemotePolicy`, in turn.
    """

    examples = ("l2o speed service --json service.json", "l2o speed service --quick")
    title = "Decisions of a server"
    columns = {
        "way": lambda row: row.what,
        "decisions": lambda row: str(row.decisions),
        "a second": lambda row: f"{row.per_second:,.0f}",
        "p50, ms": lambda row: _shown(row.p50_ms),
        "p99, ms": lambda row: _shown(row.p99_ms),
        "server's CPU, ms": lambda row: _shown(row.cpu_ms),
        "clients' CPU, ms": lambda row: _shown(row.client_cpu_ms),
        "same multipliers": lambda row: {True: "yes", False: "no", None: ""}[row.same],
    }
    measured = Measured[Row]
    sessions: Annotated[int, count("Live sessions.")] = 1000
    groups: Annotated[int, count("Layer groups of each.")] = 32
    rounds: Annotated[int, count("Decisions of each session that are timed.")] = 20
    quick: Quick = False

    def rows(self) -> Iterator[Row]:
        """Measure one after the other."""
        sessions, rounds = (20, 2) if self.quick else (self.sessions, self.rounds)
        repeats = 3 if self.quick else 9
        yield from decided_alone_and_together(self.groups, repeats)
        with (
            tempfile.TemporaryDirectory() as folder,
            ServerProcess(Path(folder), "rate=1e6") as server,
        ):
            yield live_sessions(server, sessions, self.groups, rounds)
            yield from over_http(server, self.groups, repeats)
            yield from fine_tunes(server, Path(folder), 1 if self.quick else 5, self.quick)

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        """Hold them to the bounds."""
        by_name = {row.what: row for row in rows}
        live, ratio = by_name[LIVE], by_name[TOGETHER].per_second / by_name[ALONE].per_second
        extra = 100.0 * (by_name[HERE].per_second / by_name[THERE].per_second - 1.0)
        same = float(all(row.same for row in rows if row.same is not None))
        name = f"{live.decisions // 1} decisions of live sessions of {self.groups} groups"
        return [
            hold(f"{name}: p50, ms", live.p50_ms or 0.0, 5.0, 2.0, at_least=False),
            hold(f"{name}: p99, ms", live.p99_ms or 0.0, 50.0, 10.0, at_least=False),
            hold("decisions a second, together against one policy() at a time", ratio, 3.0, 10.0),
            hold("fine-tune under RemotePolicy: time added, %", extra, 1.0, 1.0, at_least=False),
            hold("multipliers are those of the policy here", same, 1.0, 1.0),
        ]


def decided_alone_and_together(groups: int, repeats: int) -> Iterator[Row]:
    """Time `policy()` on one observation after the other, and the server's way with many."""
    policy = load_bundle(POLICY)
    seen = torch.rand(CHUNK * 4, groups, len(policy.signals)) * 2 - 1
    seen[..., 0] = 1.0
    alone, together = [], []

    def one_by_one() -> list[torch.Tensor]:
        return [policy(each, {})[0] for each in seen]

    def at_once() -> list[NDArray[np.float32]]:
        questions = [Question(policy, each, {}) for each in seen]
        decide(questions)
        return [q.multipliers for q in questions if q.multipliers is not None]

    pairs = zip(one_by_one(), at_once(), strict=True)
    same = all(np.array_equal(here.numpy(), there) for here, there in pairs)
    for _ in range(repeats):  # in turn: what else the machine does meets both
        alone.append(_seconds(one_by_one))
        together.append(_seconds(at_once))
    for what, times in ((ALONE, alone), (TOGETHER, together)):
        rate = len(seen) / statistics.median(times)
        yield Row(what, len(seen) * repeats, rate, same=same if what == TOGETHER else None)


def live_sessions(server: ServerProcess, sessions: int, groups: int, rounds: int) -> Row:
    """Let sessions decide once a second.

    Raises:
        RuntimeError: a decision failed.
    """
    live = _run(run_live(server.port, sessions, groups, rounds, cpu=lambda: server.cpu_seconds))
    if live.failures:
        raise RuntimeError(f"{len(live.failures)} decisions failed, as {live.failures[0]}")
    p50, p99 = np.percentile(live.seconds, (50, 99)) * 1e3
    cpu, here = (1e3 * each / len(live.seconds) for each in (live.server_cpu, live.client_cpu))
    rate = len(live.seconds) / live.whole
    return Row(LIVE, len(live.seconds), rate, float(p50), float(p99), cpu, here)


def over_http(server: ServerProcess, groups: int, repeats: int) -> Iterator[Row]:
    """Ask as fast as the server answers: 32 connections with one decision a request, then many."""
    for what, several in ((WIRE, False), (WIRE_TOGETHER, True)):
        before = server.cpu_seconds
        times, decisions = _run(_flood(server.port, groups, repeats, several))
        cpu = 1e3 * (server.cpu_seconds - before) / decisions
        yield Row(what, decisions, decisions / sum(times), cpu_ms=cpu)


async def _flood(
    port: int, groups: int, repeats: int, several: bool, sessions: int = 64
) -> tuple[list[float], int]:
    connections = await connect(port, sessions)
    names = await open_all(connections, groups)
    times, decisions = [], 0
    for number in range(1, repeats + 1):
        bodies = [measurement(groups, seed, 10 * number) for seed in range(sessions)]
        if several:
            asked = [{"session": n, **b} for n, b in zip(names, bodies, strict=True)]
            text = json.dumps({"decisions": asked}).encode()
            sent = [(connections[0], request("/v1/sessions/decisions", text))]
        else:
            sent = [
                (c, request(f"/v1/sessions/{n}/decisions", json.dumps(b).encode()))
                for c, n, b in zip(connections, names, bodies, strict=True)
            ]
        begun = time.perf_counter()
        answers = await asyncio.gather(*(c.ask(text) for c, text in sent))
        times.append(time.perf_counter() - begun)
        if any(status != 200 for status, _ in answers):
            raise RuntimeError(f"decisions failed: {answers[0][1][:200]!r}")
        decisions += sessions
    for connection in connections:
        connection.close()
    return times, decisions


def fine_tunes(server: ServerProcess, folder: Path, pairs: int, quick: bool) -> Iterator[Row]:
    """Fine-tune the network of `l2o finetune digits` under the policy here and there, in turn."""
    config = load_config("finetune", "digits").in_full()
    task = load_task(config.task.model_dump_json(), 0)
    remote = RemotePolicy(server.url, POLICY, token=TOKEN, timeout=10.0, cache=folder / "cache")
    ways: dict[str, Callable[[], Policy]] = {
        HERE: partial(load_bundle, POLICY),
        THERE: lambda: remote,
    }
    seconds: dict[str, list[float]] = {what: [] for what in ways}
    decided: dict[str, list[tuple[float, ...]]] = {}
    for _ in range(pairs + 1):  # the first warms up
        for what, policy in ways.items():
            tune = FineTune(task, config.finetuning, policy=policy(), seed=0)
            steps = min(tune.steps, 20) if quick else tune.steps
            seconds[what].append(_seconds(partial(tune.advance, steps)))
            decided[what] = [each.multipliers for each in tune.controller.history]
    same = decided[HERE] == decided[THERE] and set(remote.counts) == {"server"}
    for what, times in seconds.items():
        rate = steps / statistics.median(times[1:])
        yield Row(what, len(decided[what]) * pairs, rate, same=same if what == THERE else None)


def _run(asked: Coroutine[Any, Any, T]) -> T:
    """Run what asks a server in the leanest loop there is, so that it measures the server."""
    try:
        import uvloop
    except ModuleNotFoundError:  # there is none for Windows
        return asyncio.run(asked)
    found: T = uvloop.run(asked)
    return found


def _seconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
