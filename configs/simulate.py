"""The schema of `l2o simulate`: a data set that a simulator draws."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from l2o.configs.schema import Named, Number, Options, Seed, Strict

Psi = dict[str, float | str]
Range = tuple[float, float] | tuple[str, ...] | float | str


class SimulateConfig(Strict):
    """`l2o simulate`: labelled synthetic images, their masks, and what each was drawn with."""

    simulator: Named = Named(name="garments")
    """What draws: a key of `l2o.envs.simulators.SIMULATORS` or `package.module:Name`, and its
    options, such as `size`."""
    psi: Psi = {}
    """Parameters that differ from their defaults; a set is drawn at this one point."""
    randomize: bool = False
    """Domain randomization: each image draws a point of its own, uniformly from the whole space, or
    from `ranges` where they are given."""
    ranges: dict[str, Range] = {}
    """With `randomize`, a part of a parameter's range: [low, high], a list of choices, or one
    value."""
    distribution: Options | str | None = None
    """A distribution over the parameters in place of psi and ranges, from which each image draws a
    point of its own: `kind` (point, uniform, structured, product) and its options, or the file or
    the run's folder of a learned one."""
    images: Number = 1000
    """Number of images; classes take turns."""
    seed: Seed = 0
    """The same seed gives the same bits; a large set begins with the images of a small one."""
    workers: Annotated[int, Field(gt=0, le=1024)] = 2
    """Processes that draw."""
