"""How far one driver goes: ever more simulated nodes of Ray, each with as much work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from l2o.benchmarks.speed.base import Measured, Measurement, Numbers, numbers_of
from l2o.benchmarks.studies.local_cluster import local_cluster
from l2o.benchmarks.studies.options import count
from l2o.envs.runtime.executor import OnRay
from l2o.extras import require

NODES, WORKERS = 1000, 8
"""The cluster that is asked about, and the workers of each of its nodes."""


@dataclass(frozen=True)
class Row:
    """One number of nodes.

    Attributes:
        nodes: simulated ones of this machine.
        workers: in all.
        pieces: in all; as many for each worker.
        seconds: of all, without the workers' start.
        efficiency: what the pieces take one after the other on a worker, over that.
        driver: milliseconds of computing in the driver, a piece.
        calls: of Ray, a piece.
        sent: bytes to the workers, a piece.
        received: bytes from them, a piece.
        shortest: seconds that a piece has to take at least, for one driver to keep 1,000 nodes of 8
            workers busy: 8,000 times the driver's computing of a piece.
    """

    nodes: int
    workers: int
    pieces: int
    seconds: float
    efficiency: float
    driver: float
    calls: float
    sent: float
    received: float
    shortest: float


@dataclass(frozen=True, kw_only=True)
class Scaling(Measurement[Row]):
    """Give each worker of ever more simulated nodes as many pieces, and see what the driver takes.

    A piece waits, as a fine-tune keeps a core of another machine busy, and returns as many bytes as
    a record has. So what is measured is the driver, not this machine's cores.
    """

    examples = ("l2o speed scaling --json scaling.json", "l2o speed scaling --nodes 1,2 --pieces 4")
    title = "Scaling"
    columns = {
        "nodes": lambda row: str(row.nodes),
        "workers": lambda row: str(row.workers),
        "pieces": lambda row: str(row.pieces),
        "seconds": lambda row: f"{row.seconds:.2f}",
        "efficiency": lambda row: f"{row.efficiency:.0%}",
        "driver, ms a piece": lambda row: f"{row.driver:.2f}",
        "calls a piece": lambda row: f"{row.calls:.2f}",
        "bytes sent": lambda row: f"{row.sent:.0f}",
        "bytes received": lambda row: f"{row.received:.0f}",
        "at 1,000 nodes of 8, a piece must take": lambda row: f"{row.shortest:.0f} s",
    }
    measured = Measured[Row]
    nodes: Numbers = "1,2,4,8"
    workers: Annotated[int, count("Workers of a node.")] = 2
    pieces: Annotated[int, count("Pieces of a worker.")] = 10
    seconds: Annotated[float, typer.Option(metavar="N", help="What a piece takes.")] = 1.0
    bytes: Annotated[int, count("What a piece returns, as a record has.", 0)] = 3000

    def rows(self) -> Iterator[Row]:
        """Measure each number of nodes on a cluster of its own."""
        require("l2o speed scaling", "ray", extra="ray")
        for nodes in numbers_of(self.nodes):
            yield self._row(nodes)

    def _row(self, nodes: int) -> Row:
        workers = nodes * self.workers
        pieces = workers * self.pieces
        with (
            local_cluster(nodes, self.workers) as cluster,
            OnRay(workers, cluster.address, cpus=1) as executor,
        ):
            warm = [(0.5, self.bytes)] * (2 * workers)
            list(executor.map(wait, warm))
            began, computed = time.perf_counter(), time.process_time()
            found = list(executor.map(wait, [(self.seconds, self.bytes)] * pieces))
            seconds = time.perf_counter() - began
            computed = time.process_time() - computed
            told = executor.told
        assert len(found) == pieces
        return Row(
            nodes,
            workers,
            pieces,
            round(seconds, 3),
            round(self.pieces * self.seconds / seconds, 4),
            round(1000 * computed / pieces, 3),
            round(told["calls"] / pieces, 3),
            round(told["sent"] / pieces, 1),
            round(told["received"] / pieces, 1),
            round(NODES * WORKERS * computed / pieces, 2),
        )


def wait(given: tuple[float, int]) -> bytes:
    """Take so many seconds, and return so many bytes that do not compress."""
    seconds, size = given
    time.sleep(seconds)
    return np.random.default_rng(size).bytes(size)
