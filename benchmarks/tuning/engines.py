"""Schedulers and searchers of Ray Tune, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from l2o.benchmarks.tuning.space import ends_of, to_ray
from l2o.configs.schema import Named
from l2o.configs.tune import TuneConfig
from l2o.extras import needed_by
from l2o.registry import import_path, unknown_name

TIME = "step"
"""What schedulers count by: optimizer steps of a fine-tune, fine-tunes of a training."""
REDUCTION = 3
"""Of trials, one in so many goes on from a rung of ASHA and HyperBand."""

Maker = Callable[[TuneConfig, int, dict[str, Any]], Any]


def _fifo(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from ray.tune.schedulers import FIFOScheduler

    return FIFOScheduler(**options)


def _asha(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    factor = options.get("reduction_factor", REDUCTION)
    first = max(1, int(length / factor**2))
    given = {"grace_period": first, "reduction_factor": factor, "max_t": length, **options}
    return ASHAScheduler(time_attr=TIME, **given)


def _hyperband(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from ray.tune.schedulers import HyperBandScheduler

    given = {"reduction_factor": REDUCTION, "max_t": length, **options}
    return HyperBandScheduler(time_attr=TIME, **given)


def _median(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from ray.tune.schedulers import MedianStoppingRule

    return MedianStoppingRule(time_attr=TIME, **{"grace_period": max(1, length // 3), **options})


def _pbt(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from l2o.benchmarks.tuning.populations import Population

    given = {"perturbation_interval": max(1, length // config.reports), **options}
    return Population(time_attr=TIME, hyperparam_mutations=to_ray(config), **given)


def _pb2(config: TuneConfig, length: int, options: dict[str, Any]) -> Any:
    from l2o.benchmarks.tuning.populations import BanditPopulation

    bounds = {field: ends_of(domain) for field, domain in config.search.items()}
    given = {"perturbation_interval": max(1, length // config.reports), **options}
    return BanditPopulation(time_attr=TIME, hyperparam_bounds=bounds, **given)


SCHEDULERS: dict[str, Maker] = {
    "fifo": _fifo,
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "pbt": _pbt,
    "pb2": _pb2,
}
"""Which trials go on."""
WITH_STATES = ("hyperband", "pbt", "pb2")
"""Schedulers that stop trials to go on with them later, or elsewhere."""


def make_scheduler(config: TuneConfig, length: int) -> Any:
    """Return the scheduler that a config names.

    Raises:
        ValueError: an unknown name, or options that it refuses.
    """
    named = config.scheduler
    if ":" in named.name:
        return _of_your_own("scheduler", named)
    if named.name not in SCHEDULERS:
        raise ValueError(unknown_name("scheduler", named.name, list(SCHEDULERS)))
    return _made("scheduler", named, lambda: SCHEDULERS[named.name](config, length, named.options))


def make_searcher(config: TuneConfig) -> Any:
    """Return the searcher that a config names; it draws from the config's seed.

    Raises:
        ValueError: an unknown name, or options that it refuses.
        MissingExtraError: what it is made of is not installed.
    """
    from ray.tune.search import SEARCH_ALG_IMPORT
    from ray.tune.search.basic_variant import BasicVariantGenerator

    named = config.searcher
    if named.name in ("random", "grid"):
        return _made(
            "searcher",
            named,
            lambda: BasicVariantGenerator(
                random_state=config.seed, max_concurrent=_at_once(config), **named.options
            ),
        )
    if ":" in named.name:
        return _of_your_own("searcher", named)
    known = [each for each in SEARCH_ALG_IMPORT if each not in ("variant_generator", "random")]
    if named.name not in known:
        raise ValueError(unknown_name("searcher", named.name, ["random", "grid", *known]))
    with needed_by(f"searcher {named.name}"):
        kind = SEARCH_ALG_IMPORT[named.name]()
        seeded = {"seed": config.seed} if named.name == "optuna" else {}
        return _made("searcher", named, lambda: kind(**{**seeded, **named.options}))


def _at_once(config: TuneConfig) -> int:
    """Return how many trials the searcher lets live at once; 0: as many as there is room for.

    Ray Tune holds other searchers to it itself, and these not. One that is paused is alive: where
    trials wait for each other, a bound would let them wait forever.
    """
    bound = 0 if config.scheduler.name in WITH_STATES else config.concurrent
    return bound or 0


def _of_your_own(kind: str, named: Named) -> Any:
    return _made(kind, named, lambda: import_path(named.name)(**named.options))


def _made(kind: str, named: Named, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, AssertionError, AttributeError) as error:
        raise ValueError(f"{kind} {named.name!r} refuses {named.options}: {error}") from error
