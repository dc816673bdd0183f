"""Distributions as plain data and in files: nothing in them is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o.configs.yaml_text import parse_yaml
from l2o.envs.simulators.base import Simulator
from l2o.envs.simulators.distributions import DISTRIBUTIONS, Fixed, PointDistribution
from l2o.envs.simulators.space import Space
from l2o.files.atomic import DamagedFileError, read_bytes
from l2o.files.seals import read_json, write_json
from l2o.registry import unknown_name

FILE = "simulator.json"
"""What `l2o train simulator-...` writes the learned distribution to, in its run's folder."""
_REMEDY = "learn it anew, or give another file"


def distribution_of(space: Space, plain: Mapping[str, Any]) -> PointDistribution:
    """Return the distribution that plain data stand for; a mapping without `kind` is a point.

    Raises:
        ValueError: an unknown kind or option, or values that are not in the space.

    Example:
        >>> from l2o.envs.simulators.dimensions import Continuous
        >>> space = Space({"tilt": Continuous(0.0, 30.0, 5.0, "in degrees")})
        >>> distribution_of(space, {"kind": "uniform", "ranges": {"tilt": [0, 9]}}).ends("tilt")
        (0.0, 9.0)
    """
    if "kind" not in plain or "kind" in space:
        return Fixed(space, plain)
    kind = plain["kind"]
    if kind not in DISTRIBUTIONS:
        raise ValueError(unknown_name("kind of distribution", str(kind), DISTRIBUTIONS))
    options = {name: value for name, value in plain.items() if name != "kind"}
    return DISTRIBUTIONS[kind].from_options(space, options)


def given_distribution(simulator: Simulator, given: Mapping[str, Any] | str) -> PointDistribution:
    """Return what an option `psi` asks for: a file's path, plain data of a distribution, a point.

    Raises:
        ValueError: it is not of this simulator's space, or of another simulator.
        DamagedFileError: a file that is missing or damaged.
    """
    if isinstance(given, str):
        return load_distribution(Path(given), simulator)
    return distribution_of(simulator.parameters, given)


def save_distribution(
    path: Path, simulator: Simulator, distribution: PointDistribution, card: Mapping[str, Any]
) -> None:
    """Write a distribution with its card as sealed JSON.

    Args:
        path: the file.
        simulator: whose parameters are drawn.
        distribution: over its space.
        card: JSON-able facts about how it came about.
    """
    told = {"name": simulator.name, "version": simulator.version}
    plain = {"simulator": told, "distribution": distribution.to_plain(), "card": dict(card)}
    write_json(path, plain, indent=2)


def read_distribution(path: Path) -> dict[str, Any]:
    """Return a file's mapping: `distribution`, and perhaps `simulator` and `card`.

    JSON as `save_distribution` writes it, or YAML by hand; a folder stands for the file `FILE` in
    it. YAML may be the distribution alone.

    Raises:
        DamagedFileError: missing, damaged, or no distribution.
    """
    path = path / FILE if path.is_dir() else path
    if path.suffix == ".json":
        data = read_json(path, _REMEDY)
    else:
        try:
            data = parse_yaml(read_bytes(path, _REMEDY).decode("utf-8"), str(path))
        except ValueError as error:
            raise DamagedFileError(path, f"cannot be read ({error})", _REMEDY) from error
    if isinstance(data, dict) and "kind" in data:
        data = {"distribution": data}
    if not isinstance(data, dict) or not isinstance(data.get("distribution"), dict):
        raise DamagedFileError(path, "holds no field 'distribution' that is a mapping", _REMEDY)
    return data


def load_distribution(path: Path, simulator: Simulator) -> PointDistribution:
    """Return the distribution of a file, over a simulator's space.

    Raises:
        DamagedFileError: missing or damaged.
        ValueError: it is of another simulator, or of another space.
    """
    data = read_distribution(path)
    of = data.get("simulator")
    name = of.get("name") if isinstance(of, Mapping) else of
    if name is not None and name != simulator.name:
        raise ValueError(
            f"{path} is a distribution of simulator {name!r}, not of {simulator.name!r}; give one "
            "of its own"
        )
    try:
        return distribution_of(simulator.parameters, data["distribution"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
