"""The workers of a Ray cluster as an executor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.envs.runtime.executor.base import Actor, Numbered, Result, Source, Work
from l2o.envs.runtime.executor.interruptible import Interruptible
from l2o.envs.runtime.executor.messages import Run
from l2o.envs.runtime.executor.on_ray.actor import RayActor
from l2o.envs.runtime.executor.on_ray.cluster import connect, usable_cpus
from l2o.envs.runtime.executor.on_ray.crew import Crew
from l2o.envs.runtime.executor.on_ray.handle import Handle
from l2o.envs.runtime.executor.on_ray.worker import sent_by_value
from l2o.envs.runtime.executor.start import THREADS
from l2o.extras import require

SHIPPED = "L2O_"
"""What the names of variables begin with that workers find as this program has them now."""
BUT = {"L2O_CACHE"}
"""But for these: where a node's files lie is the node's."""


class OnRay(Interruptible):
    """Runs pieces in the workers of a Ray cluster, one torch thread each.

    A worker that dies (of a signal, or with its node) is replaced, and another takes what it had
    not finished; results come once each. Objects of `spawn` have a state, which dies with them:
    that is an error, as it is with processes.

    The function of a map goes into the object store once, and from there to each node once; so do
    files (`carry`). Workers that find no room wait, and the others do the work.

    Args:
        workers: that pieces are shared among; actors come on top.
        address: of the cluster (`connect`).
        cpus: cores that a worker takes of a node's. Of half a core by default, since a training has
            two crews that take turns.
        gpus: share of a GPU that a worker has to itself.
        timeout: seconds that the cluster is given to answer.
        replacements: how often a worker that dies over the same piece is replaced.

    Attributes:
        told: calls, bytes and deaths of the last map.

    Raises:
        MissingExtraError: Ray is not installed.
        ValueError: an impossible value.

    Example:
        >>> with OnRay(2, address="local") as executor:  # doctest: +SKIP
        ...     sorted(executor.map(abs, [-3, 2]))
        [(0, 3), (1, 2)]
    """

    def __init__(
        self,
        workers: int,
        address: str | None = None,
        cpus: float = 0.5,
        gpus: float = 0.0,
        timeout: float = 30.0,
        replacements: int = 10,
    ) -> None:
        super().__init__(workers)
        require("executor: ray", "ray")
        for name, value in (("cpus", cpus), ("gpus", gpus), ("replacements", replacements)):
            if value < 0:
                raise ValueError(f"{name} of executor ray must be 0 or more, got {value}")
        if timeout <= 0:
            raise ValueError(f"timeout of executor ray must be positive, got {timeout}")
        self.address, self.timeout, self.replacements = address, timeout, replacements
        self.needs = {"num_cpus": cpus, "num_gpus": gpus}
        self.told: dict[str, int] = {}
        self._files: dict[str, bytes] = {}
        self._shipped: Any = None
        self._crew: list[Handle] = []
        self._actors: list[RayActor] = []
        self._busy = self._closed = False

    def carry(self, files: Iterable[Path]) -> None:
        """Put files of the cache folder into the object store, for nodes that lack them."""
        root = cache_folder()
        for path in files:
            if path.is_relative_to(root) and path.is_file():
                self._files[str(path.relative_to(root))] = path.read_bytes()
        self._shipped = None

    def room(self) -> int | None:
        """Return the cores of the cluster."""
        connect(self.address, self.timeout)
        return usable_cpus()

    def share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        """Run the work in each worker, and serve the pieces that it asks for."""
        self._refuse_if_closed()
        return self._share(work, source)

    def spawn(self, make: Callable[[], Any]) -> Actor:
        """Begin to make the object in a worker of its own."""
        self._refuse_if_closed()
        connect(self.address, self.timeout)
        self._actors.append(RayActor(self._start(), make))
        return self._actors[-1]

    def close(self) -> None:
        """End all workers."""
        self._closed = True
        crew, self._crew = self._crew, []
        actors, self._actors = self._actors, []
        _kill(crew)
        for each in actors:
            each.close()

    def __call__(self) -> Handle:
        """Begin to start a worker (`Maker`)."""
        return Handle(self._start())

    def ready(self, handles: list[Handle], patience: float) -> list[Handle]:
        """Return those that have something to say, or have died."""
        import ray

        by_call = {each.pending: each for each in handles}
        done, _ = ray.wait(list(by_call), num_returns=len(by_call), timeout=0)
        if not done:
            done, _ = ray.wait(list(by_call), num_returns=1, timeout=patience)
        return [by_call[each] for each in done]

    def _share(self, work: Work[Result], source: Source) -> Iterator[Result]:
        self._refuse_if_closed()
        if self._busy:
            raise RuntimeError(
                "this executor is busy with another map; take all of its results or close it "
                "first, or use an executor for each"
            )
        connect(self.address, self.timeout)
        order = _order(Run(work))
        expected = source.expected if isinstance(source, Numbered) else self.workers
        self._busy = True
        crew = Crew(self, min(self.workers, expected), self._crew, self.replacements)
        self._crew = [each for each in self._crew if each not in crew.all]
        try:
            yield from crew.serve(order, source)
        finally:
            self._busy = False
            self.told = {
                "calls": crew.calls,
                "sent": crew.sent,
                "received": crew.received,
                "deaths": crew.deaths,
            }
            self._crew += crew.idle
            _kill([each for each in crew.all if each.midst])

    def _start(self) -> Any:
        import ray

        if self._shipped is None:
            self._shipped = ray.put(self._files)
        found = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(SHIPPED) and name not in BUT
        }
        options = {**self.needs, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        kind = ray.remote(**options)(sent_by_value())
        path = [os.path.abspath(each) for each in sys.path]
        return kind.remote(os.getcwd(), path, {**found, **THREADS}, self._shipped)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this executor is closed; make a new one")


def _order(message: Run) -> Any:
    """Return a reference to an order in the object store: each node fetches it once.

    Raises:
        TypeError: it cannot be pickled.
    """
    import ray

    try:
        return ray.put(ray.cloudpickle.dumps(message))
    except Exception as error:
        raise TypeError(
            f"a function cannot be sent to a worker of Ray ({error}); use executor: here"
        ) from error


def _kill(handles: list[Handle]) -> None:
    import ray

    for each in handles:
        if ray.is_initialized():
            ray.kill(each.actor)
