"""What an executor and its worker processes say to each other, and how it travels.

A worker is asked for one thing at a time and speaks only then, so the two never wait for each
other's pipe to be emptied, whatever the size of what they send.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from l2o.envs.runtime.executor.base import Work
from l2o.envs.runtime.executor.failures import Failure


@dataclass(frozen=True)
class Run:
    """To a worker: do this work; answered by `Wanted` and `Told`, at last `Done` or `Failed`."""

    work: Work[Any]


@dataclass(frozen=True)
class Make:
    """To a worker: make the object that it is to keep; answered by `Done` or `Failed`."""

    make: Callable[[], Any]


@dataclass(frozen=True)
class Call:
    """To a worker: call a method of the object; answered by `Told` or `Failed`."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Wanted:
    """From a worker: pieces, please; answered by them."""

    kind: str | None
    count: int


@dataclass(frozen=True)
class Told:
    """From a worker: a result."""

    value: Any


@dataclass(frozen=True)
class Done:
    """From a worker: the work is finished, or the object made."""


@dataclass(frozen=True)
class Failed:
    """From a worker: it went wrong."""

    failure: Failure


@dataclass(frozen=True)
class Left:
    """From a worker that cannot be seen to end: something there ended it, with this exit code."""

    code: int


def encode(message: Any) -> bytes:
    """Return a message as bytes.

    By plain pickle: multiprocessing's own would send tensors as handles of shared memory, which
    runs out (files open, `/dev/shm`) and lets two processes write to one tensor.
    """
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def decode(data: bytes) -> Any:
    """Return the message that bytes stand for."""
    return pickle.loads(data)
