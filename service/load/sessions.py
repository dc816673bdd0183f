"""Many live sessions from one process: each on a connection of its own, a decision a second."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

from l2o.service.load.process import TOKEN

Tell = Callable[[int, bytes], None]
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
        self._read = b""
        self._tell: Tell | None = None

    def connection_made(self, transport: Any) -> None:
        """Remember how to send."""
        self._transport = transport

    def post(self, request: bytes, tell: Tell) -> None:
        """Send a request; `tell` is called with status and body."""
        self._tell = tell
        self._transport.write(request)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body."""
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.post(request, lambda status, body: answer.set_result((status, body)))
        return await answer

    def data_received(self, data: bytes) -> None:
        """Read; an answer is over once its length is there."""
        read = self._read + data if self._read else data
        end = read.find(b"\r\n\r\n")
        if end >= 0:
            head = read[:end].lower()
            length = int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
            if len(read) >= end + 4 + length and self._tell is not None:
                self._read, tell, self._tell = b"", self._tell, None
                tell(int(head[9:12]), read[end + 4 : end + 4 + length])
                return
        self._read = read

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._tell is not None:
            self._tell(0, b"the connection was closed")

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
        server_cpu: processor time that the server took from the first of them to the last.
        client_cpu: and that they took here.
    """

    seconds: list[float] = field(default_factory=list)
    whole: float = 0.0
    late: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    server_cpu: float = 0.0
    client_cpu: float = 0.0


class Follower:
    """One live session: what it measured goes off when it is due, once the last answer is there.

    Everything that can be is made before, so that a thousand of them need little of the machine.
    """

    def __init__(self, connection: Connection, name: str, groups: int, seed: int) -> None:
        body = measurement(groups, seed)
        del body["step"]
        self._rest = json.dumps(body)[1:].encode()
        length = len(self._body(0))
        self._head = request(f"/v1/sessions/{name}/decisions", b" " * length)[:-length]
        self._connection = connection
        self._owed: deque[tuple[float, Live | None]] = deque()
        self._step = 0
        self._sent = 0.0

    def _body(self, step: int) -> bytes:
        # As long for every step, so that the head is always the same.
        return b'{"step":%9d,' % step + self._rest

    def decide(self, due: float, live: Live | None) -> None:
        """Ask for the next decision, at once or once the one before is there; it may count."""
        self._owed.append((due, live))
        if len(self._owed) == 1:
            self._send()

    def _send(self) -> None:
        self._step += 10
        self._sent = perf_counter()
        self._connection.post(self._head + self._body(self._step), self._answered)

    def _answered(self, status: int, answer: bytes) -> None:
        now = perf_counter()
        due, live = self._owed.popleft()
        if live is not None and status != 200:
            live.failures.append(f"{status} {answer[:200]!r}")
        elif live is not None:
            live.seconds.append(now - self._sent)
            live.late.append(self._sent - due)
        if self._owed:
            self._send()


async def connect(port: int, count: int) -> list[Connection]:
    """Return so many connections to a server on the loopback."""
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        made.append(connection)
    return made


async def run_live(
    port: int,
    sessions: int,
    groups: int,
    rounds: int,
    warm_up: int = 2,
    cpu: Callable[[], float] = float,
) -> Live:
    """Open sessions, and let each decide once a second, spread evenly over the second.

    Args:
        port: of the server, on the loopback.
        sessions: how many there are.
        groups: layer groups of each.
        rounds: decisions of each that count.
        warm_up: decisions of each before them.
        cpu: tells the processor time that the server has taken.
    """
    connections = await connect(port, sessions)
    names = await open_all(connections, groups)
    pairs = zip(connections, names, strict=True)
    followers = [Follower(*pair, groups, seed) for seed, pair in enumerate(pairs)]
    live, begin = Live(), perf_counter() + 1.0
    await _decide(followers, begin, warm_up, None)
    server, here = cpu(), process_time()
    await _decide(followers, begin + warm_up, rounds, live)
    while len(live.seconds) + len(live.failures) < sessions * rounds:
        await asyncio.sleep(0.01)
    live.whole = perf_counter() - begin - warm_up
    live.server_cpu, live.client_cpu = cpu() - server, process_time() - here
    for connection in connections:
        connection.close()
    return live


async def _decide(
    followers: Sequence[Follower], begin: float, rounds: int, live: Live | None
) -> None:
    """Let each session decide once a second; return when the last second is over."""
    for number in range(rounds):
        for index, follower in enumerate(followers):
            due = begin + number + index / len(followers)
            while (left := due - perf_counter()) > 0:
                await asyncio.sleep(left)
            follower.decide(due, live)
    await asyncio.sleep(max(0.0, begin + rounds - perf_counter()))


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
