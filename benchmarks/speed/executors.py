"""What Ray costs over processes, cell by cell, and that it changes no record, whatever dies."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import typer

from l2o.benchmarks.cells.cell import Cell, load_family, run_cell
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold
from l2o.benchmarks.studies.local_cluster import kill_node, local_cluster, workers_of
from l2o.benchmarks.studies.options import Overrides, count
from l2o.configs.load import load_table
from l2o.envs.runtime.executor import Executor, OnRay, Processes
from l2o.extras import require


@dataclass(frozen=True)
class Row:
    """One executor: seconds of each round, and what it took a cell; of Ray, calls and bytes."""

    name: str
    cells: int
    equal: bool
    deaths: int
    seconds_per_cell: float
    overhead: float
    calls_per_cell: float
    bytes_per_cell: float
    seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Executors(Measurement[Row]):
    """Run a benchmark's fine-tunes by processes and by Ray, in turns; compare times and records.

    Ray runs on so many local nodes, as `ray.cluster_utils.Cluster` starts them. With --kills, one
    more round, in which so many of its workers are killed at random, and one with a node killed.
    """

    examples = ("l2o speed executors --json executors.json", "l2o speed executors --kills 10")
    title = "Executors"
    columns = {
        "": lambda row: row.name,
        "cells": lambda row: str(row.cells),
        "records as by processes": lambda row: "yes" if row.equal else "no",
        "deaths": lambda row: str(row.deaths),
        "s per cell": lambda row: f"{row.seconds_per_cell:.3f}",
        "overhead": lambda row: f"{row.overhead:+.1%}",
        "calls per cell": lambda row: f"{row.calls_per_cell:.2f}",
        "bytes per cell": lambda row: f"{row.bytes_per_cell:.0f}",
    }
    measured = Measured[Row]
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A benchmark.")] = "demo"
    overrides: Overrides = ("finetuning.steps=150", "tasks=2", "seeds=2", "policy=asg-lite")
    cells: Annotated[int, count("Fine-tunes.")] = 60
    rounds: Annotated[int, count("Times that each is measured.")] = 3
    nodes: Annotated[int, count("Local nodes of Ray's cluster.")] = 2
    kills: Annotated[int, count("Workers that are killed in one more round.", 0)] = 0

    def rows(self) -> Iterator[Row]:
        """Run the cells by both executors, in turns."""
        require("l2o speed executors", "ray", "psutil", extra="ray")
        chosen = load_table(self.config, self.overrides)
        load_family(chosen.task.model_dump_json()).prepare()
        cells = (make_plan(chosen).cells * self.cells)[: self.cells]
        with local_cluster(self.nodes) as cluster:
            yield from self._measured(cells, cluster)

    def _measured(self, cells: list[Cell], cluster: Any) -> Iterator[Row]:
        makers: dict[str, Callable[[], Executor]] = {
            "processes": partial(Processes, 2),
            "ray": partial(OnRay, 2, cluster.address),
        }
        spent: dict[str, list[float]] = {name: [] for name in makers}
        found: dict[str, Any] = {}
        told: dict[str, dict[str, int]] = {name: {} for name in makers}
        with ExitStack() as stack:
            # Both stand by all along, so that a round may be short, and what else the machine does
            # the same for both.
            made = {name: stack.enter_context(make()) for name, make in makers.items()}
            for executor in made.values():
                _warm(executor, cells)
            for _ in range(self.rounds):
                for name, executor in made.items():
                    seconds, found[name], told[name] = _run(executor, cells)
                    spent[name].append(seconds)
        wanted, plain = found["processes"], spent["processes"]
        for name, times in spent.items():
            yield _row(name, times, plain, found[name] == wanted, told[name], len(cells))
        if self.kills:
            yield from self._killed(cells, cluster, wanted, plain[-1:])

    def _killed(
        self, cells: list[Cell], cluster: Any, wanted: Any, plain: list[float]
    ) -> Iterator[Row]:
        for name, kill in (
            ("ray, workers killed", _WorkersKilled(self.kills, len(cells), cluster)),
            ("ray, a node killed", partial(_kill_node, cluster, len(cells) // 3)),
        ):
            if "node" in name and self.nodes < 2:
                continue
            with OnRay(2, cluster.address) as executor:
                _warm(executor, cells)
                seconds, found, told = _run(executor, cells, kill)
            yield _row(name, [seconds], plain, found == wanted, told, len(cells))

    def figures(self, rows: Sequence[Row]) -> Sequence[Figure]:
        """Hold Ray to what it may cost, and to the records."""
        ray = next(row for row in rows if row.name == "ray")
        return [
            hold("overhead of Ray per cell", ray.overhead, 0.10, 0.05, at_least=False),
            *(hold(f"records equal, {row.name}", float(row.equal), 1.0, 1.0) for row in rows),
        ]


def _warm(executor: Executor, cells: list[Cell]) -> None:
    """See to it that workers have started, and have imported what a cell needs."""
    list(executor.map(_short, cells[:2] * 2))


def _run(
    executor: Executor, cells: list[Cell], meddle: Any = None
) -> tuple[float, Any, dict[str, int]]:
    """Return the seconds of all cells, their records, and what Ray tells."""
    began = time.perf_counter()
    records = {}
    for number, record in executor.map(run_cell, cells):
        records[number] = record
        if meddle is not None:
            meddle(len(records))
    seconds = time.perf_counter() - began
    told = getattr(executor, "told", {})
    plain = {number: record.model_dump(exclude={"seconds"}) for number, record in records.items()}
    return seconds, plain, told


def _short(cell: Cell) -> None:
    short = cell.finetuning.model_copy(update={"steps": 10})
    record = run_cell(replace(cell, finetuning=short))
    if record.error is not None:
        raise RuntimeError(f"a fine-tune failed: {record.error}")


def _row(
    name: str,
    seconds: list[float],
    plain: list[float],
    equal: bool,
    told: dict[str, int],
    cells: int,
) -> Row:
    median = statistics.median(seconds)
    # Round by round: what else the machine did was then the same.
    ratio = statistics.median(a / b for a, b in zip(seconds, plain, strict=True))
    return Row(
        name,
        cells,
        equal,
        told.get("deaths", 0),
        round(median / cells, 4),
        round(ratio - 1.0, 4),
        round(told.get("calls", 0) / cells, 3),
        round((told.get("sent", 0) + told.get("received", 0)) / cells, 1),
        [round(each, 3) for each in seconds],
    )


class _WorkersKilled:
    """Kills a worker, drawn at random, after so many cells, drawn at random, too."""

    def __init__(self, kills: int, cells: int, cluster: Any) -> None:
        self._draw, self._cluster = random.Random(0), cluster
        self._at = sorted(self._draw.sample(range(1, cells), min(kills, cells - 1)))

    def __call__(self, done: int) -> None:
        import psutil

        while self._at and done >= self._at[0]:
            try:
                self._draw.choice(workers_of(self._cluster)).kill()
            except (IndexError, psutil.Error):
                return  # none lives: after the next cell
            del self._at[0]


def _kill_node(cluster: Any, at: int, done: int) -> None:
    if done == at:
        kill_node(cluster.more[0])
