"""The contract of executors: who runs many independent pieces of work, and stateful workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from operator import length_hint
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

Item = TypeVar("Item")
Result = TypeVar("Result")

Take = Callable[[str | None, int], tuple[str, list[Any]]]
"""(kind, count) -> that kind, and up to so many pieces of it; None asks for any kind. No pieces:
there are none left of it."""
Work = Callable[[Take], Iterator[Result]]
"""What one worker does with the pieces that it takes; it yields a result whenever it has one."""


class Source(Protocol):
    """Where workers take pieces from; asked in the process that holds the executor, only there."""

    def take(self, kind: str | None, count: int) -> tuple[str, list[Any]]:
        """Hand out up to so many pieces of a kind; of any, if none is named."""
        ...


@runtime_checkable
class Returnable(Source, Protocol):
    """A source that tells which piece a result is of, and takes back those that came to nothing.

    Executors that replace workers that die hand out again what these had not finished; of any other
    source they do not know what that is, and a death is an error.
    """

    def name_of(self, piece: Any) -> Hashable:
        """Return what a piece is known by."""
        ...

    def piece_of(self, result: Any) -> Hashable | None:
        """Return the name of the piece that a result finishes; None: it finishes none."""
        ...

    def put_back(self, kind: str, pieces: list[Any]) -> None:
        """Take pieces of a kind back, to be handed out when all others are."""
        ...


class WorkerDiedError(RuntimeError):
    """A worker that ended in the midst of its work: with which code or signal, and at what."""


class Pending(ABC):
    """The answer of an actor, which may not be there yet."""

    @abstractmethod
    def result(self) -> Any:
        """Wait for the answer and return it; asked again, return it again.

        Raises:
            Exception: what the method raised, with the traceback it has there.
            WorkerDiedError: the worker has died.
            KeyboardInterrupt: Ctrl-C was noted (`deferred_interrupts`).
        """

    def begin(self) -> None:  # noqa: B027  # a call that begins by itself has nothing to do here
        """See to it that the call is at work, waiting for those before it in its actor's line."""


class Actor(ABC):
    """A handle of an object that lives in a worker of its own and keeps its state between calls."""

    @abstractmethod
    def call(self, name: str, *arguments: Any) -> Pending:
        """Begin a call of a method of the object; calls are run in the order they are made."""

    @abstractmethod
    def close(self) -> None:
        """End the worker, whatever it does. Twice is once."""


class Executor(ABC):
    """Runs pieces of work in workers with one torch thread each.

    A context manager: its end ends the workers, at once if an error passes. No piece is run twice,
    and none is left out. A piece is given to a worker when that asks for it, and a result is taken
    from it when the caller asks for one: neither piles up, and pieces may be endless.

    Making one starts nothing: configs are checked by making what they name.

    What is called must not lean on the caller's memory: workers may be other processes, to which
    functions travel by name, pieces and results by pickle.

    Args:
        workers: how many pieces are at work at once.

    Example:
        >>> from l2o.envs.runtime.executor import Here
        >>> with Here() as executor:
        ...     sorted(executor.map(abs, [-3, 2]))
        [(0, 3), (1, 2)]
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        self.workers = workers

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Yield (number of the item, its result) as results come; `in_order` sorts them.

        Nothing runs before the first is asked for. Whoever stops asking closes the iterator, or
        the executor, and with it the work that is under way.

        Args:
            function: called once for each item.
            items: looked at as workers ask for them.

        Raises:
            Exception: what the function raised, with the traceback it has there; results that
                came before are yielded first.
            WorkerDiedError: a worker has died; likewise.
            KeyboardInterrupt: Ctrl-C was noted (`deferred_interrupts`); likewise.
            RuntimeError: the executor is busy with another map, or closed.
        """
        return self.share(partial(_one_by_one, function), Numbered(items))

    @abstractmethod
    def share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        """Run `work` in each worker, let all take from one source, and yield their results.

        For workers that hold several pieces at once (the slots of a stack), of one kind, and take
        more as they end some. A worker has finished when its `work` returns. Raises as `map` does.
        """

    @abstractmethod
    def spawn(self, make: Callable[[], Any]) -> Actor:
        """Return a handle of what `make` makes in a worker of its own, ended with the executor.

        Returns at once; what `make` raises is raised by the first result that is asked for.
        """

    def carry(self, files: Iterable[Path]) -> None:  # noqa: B027  # they are on this machine
        """Let workers that start from now on find files of this machine's cache folder in theirs.

        Once for each machine, and only where they lack them; what is not in the folder stays here.
        """

    def room(self) -> int | None:
        """Return how many workers there is room for; None: as many as this machine has cores."""
        return None

    @abstractmethod
    def close(self) -> None:
        """End all workers, whatever they do. Twice is once."""

    def __enter__(self) -> Self:
        """Return this executor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """End all workers."""
        self.close()
        return None


class Numbered:
    """Items one by one, with their numbers, as a source of pieces.

    Example:
        >>> source = Numbered("ab")
        >>> source.take(None, 1), source.take(None, 9), source.take(None, 1)
        (('', [(0, 'a')]), ('', [(1, 'b')]), ('', []))
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self.expected = length_hint(items, 1 << 30)
        """How many there are at the beginning, as far as the iterable tells."""
        self._items = enumerate(items)
        self._back: deque[tuple[int, Any]] = deque()

    def take(self, kind: str | None, count: int) -> tuple[str, list[Any]]:
        """Hand out the next items."""
        given = [piece for _, piece in zip(range(count), self._items, strict=False)]
        while self._back and len(given) < count:
            given.append(self._back.popleft())
        return "", given

    def name_of(self, piece: Any) -> Hashable:
        """Return an item's number."""
        return int(piece[0])

    def piece_of(self, result: Any) -> Hashable | None:
        """Return the number of the item that a result is of."""
        return int(result[0])

    def put_back(self, kind: str, pieces: list[Any]) -> None:
        """Keep items for when no others are left."""
        self._back += pieces


def _one_by_one(function: Callable[[Any], Any], take: Take) -> Iterator[tuple[int, Any]]:
    while pieces := take(None, 1)[1]:
        for number, item in pieces:
            yield number, function(item)


def in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yield the results of a `map` in the order of its items; what comes early is held.

    Example:
        >>> list(in_order([(1, "b"), (0, "a"), (2, "c")]))
        ['a', 'b', 'c']
    """
    held: dict[int, Result] = {}
    next_one = 0
    for number, result in results:
        held[number] = result
        while next_one in held:
            yield held.pop(next_one)
            next_one += 1


def gather(pending: Iterable[Pending]) -> list[Any]:
    """Wait for answers; return them in the order of the calls, or raise the first that failed.

    All of them begin first: actors that are still being made would else work one after another.
    """
    answers = list(pending)
    for each in answers:
        each.begin()
    return [each.result() for each in answers]
