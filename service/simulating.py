"""What `l2o simulate` does: from its config to a data set."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from l2o.configs.simulate import SimulateConfig
from l2o.envs.build import build
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.simulators import SIMULATORS, Distribution, Point, Simulator
from l2o.envs.simulators.data_set import write_data_set
from l2o.envs.simulators.distributions.written import given_distribution


def draw_data_set(config: SimulateConfig, out: Path, progress: bool | None = None) -> None:
    """Draw a data set into a folder; what is there of it already is kept.

    Args:
        config: what to draw.
        out: the folder.
        progress: show a progress bar; None shows it on a terminal.

    Raises:
        ValueError: an unknown simulator or parameter, or a value out of its range, before any
            work; or nothing of a class was drawn.
    """
    simulator = simulator_of(config)
    psi = psi_of(config, simulator)
    bar = tqdm(
        total=config.images, unit="image", disable=None if progress is None else not progress
    )
    with choose_executor("processes", config.workers) as executor, bar:
        drawn = write_data_set(simulator, psi, config.images, config.seed, out, executor)
        for count in drawn:
            bar.update(count)


def simulator_of(config: SimulateConfig) -> Simulator:
    """Return the simulator that a config names, one of the user's own included.

    Raises:
        ValueError: an unknown name or option, or what is named makes no simulator.
    """
    made = build("simulator", SIMULATORS, config.simulator)
    if not isinstance(made, Simulator):
        raise ValueError(
            f"simulator {config.simulator.name!r} makes {type(made).__name__}, which is no "
            "simulator; derive it from l2o.envs.simulators.Simulator"
        )
    return made


def psi_of(config: SimulateConfig, simulator: Simulator) -> Point | Distribution:
    """Return the point, or the distribution over points, that a config asks for.

    Raises:
        ValueError: an unknown parameter, a value out of its range, ranges of one point, or a
            distribution beside any of these.
        DamagedFileError: the file of a distribution is missing or damaged.
    """
    if config.distribution is not None:
        if config.psi or config.ranges or config.randomize:
            raise ValueError(
                "distribution is given beside psi, ranges or randomize; it says all of what images "
                "draw, so leave the others out"
            )
        return given_distribution(simulator, config.distribution)
    if not config.randomize:
        if config.ranges:
            raise ValueError(
                f"ranges of {', '.join(config.ranges)} are given, but a set is drawn at one point; "
                "set randomize=true, or give a value with psi"
            )
        return simulator.parameters.complete(config.psi)
    both = set(config.psi) & set(config.ranges)
    if both:
        raise ValueError(
            f"{', '.join(sorted(both))}: given in psi and in ranges; keep one of the two"
        )
    return simulator.parameters.narrow(**{**config.psi, **config.ranges})
