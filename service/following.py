"""`--server URL`: what a command does, shown by a server while it happens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Annotated, Any

import typer

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Show the run at this `l2o serve`, too; its token is L2O_TOKEN's.",
        show_default=False,
    ),
]
LOOKING = 1.0
"""Seconds between two looks at a file that grows."""
MOST_VALUES = 64


@contextmanager
def followed(server: str | None, kind: str, file: Path) -> Iterator[None]:
    """Send each line that a command appends to a file of JSON lines, while the command runs.

    Args:
        server: where to; None: nowhere.
        kind: of run: "train" or "benchmark".
        file: in the run's folder, which names the run.

    Raises:
        ValueError: a URL that is none.
    """
    if server is None:
        yield
        return
    from l2o.integrations.remote.telemetry import RemoteLog

    log = RemoteLog(server, {"name": file.parent.name, "kind": kind})
    over = threading.Event()
    reader = threading.Thread(target=_follow, args=(log, file, over), daemon=True)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join(10.0)
        log.close()


def _follow(log: Any, file: Path, over: threading.Event) -> None:
    read, lines, last = 0, 0, False
    while True:
        text = b""
        if file.is_file():
            with file.open("rb") as opened:
                opened.seek(read)
                text = opened.read()
        whole = text[: text.rfind(b"\n") + 1]
        read += len(whole)
        for line in whole.splitlines():
            lines += 1
            log.send(lines, numbers_of(line))
        if last:
            return
        last = over.wait(LOOKING)


def numbers_of(line: bytes) -> dict[str, float]:
    """Return the numbers of a line of JSON, nested ones by their path; nothing of any other line.

    Example:
        >>> numbers_of(b'{"loss": 0.5, "scores": {"test": {"accuracy": 0.9}}, "name": "x"}')
        {'loss': 0.5, 'scores/test/accuracy': 0.9}
    """
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    found = dict(_numbers(row if isinstance(row, Mapping) else {}, ""))
    return dict(list(found.items())[:MOST_VALUES])


def _numbers(row: Mapping[str, Any], before: str) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}/")
        elif isinstance(value, Real) and not isinstance(value, bool):
            yield f"{before}{name}"[:100], float(value)
