"""Where work is run: the executor, and the Ray cluster that it may be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from l2o.configs.base import Named, Strict


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ExecutorName = Annotated[Named, BeforeValidator(_named)]
"""An executor: its name, or name and options."""


class Ray(Strict):
    """The Ray cluster that workers are on with `executor=ray`; `l2o tune` is always on one."""

    address: str | None = None
    """HOST:PORT of the cluster's head, `ray://HOST:PORT`, `auto` for the cluster of this machine,
    `local` for one of this machine's cores; null takes $RAY_ADDRESS, else local."""
    cpus: Annotated[float, Field(ge=0.0, le=1024.0)] | None = None
    """Cores that a worker takes of its node's; null: half of one, a trial of `l2o tune` a whole."""
    gpus: Annotated[float, Field(ge=0.0, le=64.0)] = 0.0
    """GPUs that a worker takes of its node's: 0.25 lets four share one."""
    timeout: Annotated[float, Field(gt=0.0, le=86_400.0)] = 30.0
    """Seconds that the cluster is given to answer."""
    replacements: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """How often a worker that dies over the same piece of work is replaced."""


class Placed(Strict):
    """Base of configs whose work an executor runs."""

    ray: Ray = Ray()
    """The Ray cluster, for `executor=ray`."""

    @property
    def placement(self) -> Named:
        """The executor, told of the cluster where it is Ray.

        Example:
            >>> from l2o.configs.schema import TrainConfig
            >>> TrainConfig(executor=Named(name="ray"), ray=Ray(gpus=0.5)).placement.options
            {'gpus': 0.5}
        """
        executor: Named = self.executor  # type: ignore[attr-defined]
        if executor.name != "ray":
            return executor
        told = self.ray.model_dump(exclude_defaults=True)
        return Named(name="ray", options={**told, **executor.options})
