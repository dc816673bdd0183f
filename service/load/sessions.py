"""Many live sessions from one process: each on a connection of its own, a decision a second."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from l2o.service.load.process import TOKEN

QUANTITIES = ("weight_norm", "gradient_norm", "update_norm", "gradient_dot_update", "drift_norm")


def opening(groups: int, seed: int = 0, **more: Any) -> dict[str, Any]:
    """Return the opening of a session with so many layer groups."""
    draw = random.Random(seed)
    told = [
        {"name": f"block{i}", "size": draw.randint(100, 10**6), "inputs": 64, "vectors": 0.5}
        for i in range(groups)
    ]
    told[-1]["is_head"] = True
    norms = [draw.uniform(0.1, 30.0) for _ in range(groups)]
    known = {"policy": "asg-base", "groups": told, "base_lr": 0.1, "weight_norm": norms}
    return known | {"total_steps": 1_000_000} | more


def measurement(groups: int, seed: int, step: int = 10) -> dict[str, Any]:
    """Return what is measured at a decision."""
    draw = random.Random(seed)
    known: dict[str, Any] = {"step": step, "loss": draw.uniform(0.1, 3.0)}
    for name in QUANTITIES:
        known[name] = [draw.uniform(1e-3, 10.0) for _ in range(groups)]
    return known


def request(path: str, body: bytes) -> bytes:
    """Return a POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One connection, on which one request at a time is answered."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        """Remember how to send."""
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Read; an answer is over once its length is there."""
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._read[:end]).lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._read) < end + 4 + length:
            return
        body = bytes(self._read[end + 4 : end + 4 + length])
        self._read.clear()
        self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed"))

    def close(self) -> None:
        """Close it."""
        self._transport.close()


@dataclass
class Live:
    """What came of live sessions.

    Attributes:
        seconds: until each decision was there.
        whole: from the first of them to the last.
        late: how late each was sent.
        failures: what was answered otherwise.
    """

    seconds: list[float] = field(default_factory=list)
    whole: float = 0.0
    late: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def connect(port: int, count: int) -> list[Connection]:
    """Return so many connections to a server on the loopback."""
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        made.append(connection)
    return made


async def run_live(port: int, sessions: int, groups: int, rounds: int, warm_up: int = 2) -> Live:
    """Open sessions, and let each decide once a second, spread evenly over the second.

    Args:
        port: of the server, on the loopback.
        sessions: how many there are.
        groups: layer groups of each.
        rounds: decisions of each that count.
        warm_up: decisions of each before them.
    """
    loop = asyncio.get_running_loop()
    connections = await connect(port, sessions)
    names = await open_all(connections, groups)
    bodies = [measurement(groups, seed) for seed in range(sessions)]
    texts = [json.dumps({k: v for k, v in body.items() if k != "step"})[1:] for body in bodies]
    live, begin = Live(), loop.time() + 1.0

    async def follow(index: int) -> None:
        for number in range(warm_up + rounds):
            due = begin + number + index / sessions
            await asyncio.sleep(due - loop.time())
            body = f'{{"step":{10 * (number + 1)},{texts[index]}'.encode()
            sent, late = perf_counter(), loop.time() - due
            path = f"/v1/sessions/{names[index]}/decisions"
            status, answer = await connections[index].ask(request(path, body))
            if status != 200:
                live.failures.append(f"{status} {answer[:200]!r}")
            elif number >= warm_up:
                live.seconds.append(perf_counter() - sent)
                live.late.append(late)

    await asyncio.gather(*map(follow, range(sessions)))
    live.whole = loop.time() - begin - warm_up
    for connection in connections:
        connection.close()
    return live


async def open_all(connections: Sequence[Connection], groups: int) -> list[str]:
    """Open a session on each connection, a few at a time."""
    names = []
    for start in range(0, len(connections), 16):
        asked = [
            connection.ask(request("/v1/sessions", json.dumps(opening(groups, seed)).encode()))
            for seed, connection in enumerate(connections[start : start + 16], start)
        ]
        for status, body in await asyncio.gather(*asked):
            if status != 201:
                raise RuntimeError(f"a session was not opened: {status} {body[:300]!r}")
            names.append(json.loads(body)["session"])
    return names
