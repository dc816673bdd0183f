"""Learning offline: every task is tried at several points, and a forest learns which is right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from l2o.checks import check_number
from l2o.configs.schema import TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.runtime.executor import in_order
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.tasks.build import build_task
from l2o.networks.forest import Forest
from l2o.networks.multipliers import LogRange
from l2o.networks.probing import ProbingNetwork
from l2o.policies.common.learner import Learner
from l2o.policies.common.networks import action_range, export_policy, signal_spec
from l2o.policies.common.options import check_counts
from l2o.policies.offline.data_set import DataSet, load_data_set, save_data_set
from l2o.policies.offline.fit import features_of, fit_forest, gains_of, summary_of
from l2o.policies.offline.points import POINTS, PROBE, Point
from l2o.policies.offline.trial import Trial, Trier, from_plain, to_plain

TRIALS = "trials"
"""Folder of the data set that a run leaves."""


class OfflineLearner(Learner):
    """Tries each of many tasks at all points, and fits a forest that picks one from a probe.

    An iteration tries some tasks more; no run depends on what was learned before, so the data are
    a data set that may grow, travel and be fitted anew. The reward is the target's accuracy.

    Args:
        config: the training config; `config.environment.multipliers` must be on a log scale.
        tasks: tried per iteration.
        repeats: seeds of head and batches that each task is tried with.
        data: folder of a data set of trials to begin with, or several: what a run of this leaves
            as `trials/` (`l2o.policies.offline.data_set`), of the same points and signals; None
            begins with nothing.
        points: sizes (backbone, head) relative to the weights; None takes `POINTS`.
        probe: sizes that a run begins with; None takes `PROBE`.
        share: of the training that the probe takes.
        trees: of the forest.
        leaf: fewest tasks in a leaf.
        split: share of the features that a split looks at.
        about: signals that the forest is told of (`l2o.networks.run_summary`); None takes
            `l2o.policies.offline.fit.ABOUT`.
        statistics: what it is told of those of layers; None takes `TOLD` of the same module.

    Raises:
        ValueError: values out of range, or a data set of other points or signals.
        DamagedFileError: the data set is missing or damaged.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        tasks: int = 16,
        repeats: int = 1,
        data: str | Sequence[str] | None = None,
        points: Sequence[Sequence[float]] | None = None,
        probe: Sequence[float] | None = None,
        share: float = 0.1,
        trees: int = 50,
        leaf: int = 15,
        split: float = 0.3,
        about: Sequence[str] | None = None,
        statistics: Sequence[str] | None = None,
    ) -> None:
        super().__init__(config)
        check_number("algorithm.options.tasks", tasks, 1)
        check_counts(repeats=repeats)
        check_number("algorithm.options.share", share, 0.0, 0.5, above=True)
        multipliers = action_range(config)
        if not isinstance(multipliers, LogRange):
            raise ValueError("algorithm.name=offline needs environment.multipliers={kind: log}")
        if config.environment.guidance_actions:
            raise ValueError(
                "algorithm.name=offline sets learning rates only, got environment.guidance_actions="
                f"{list(config.environment.guidance_actions)}; take them out, or learn by ppo"
            )
        self.range, self.tasks, self.repeats = multipliers, tasks, repeats
        self.points = POINTS if points is None else tuple(Point(*each) for each in points)
        self.probe = PROBE if probe is None else Point(*probe)
        self.share = share
        self.options = {"n_estimators": trees, "min_samples_leaf": leaf, "max_features": split}
        self.summary = summary_of(signal_spec(config).names, about, statistics)
        self.trials: list[Trial] = []
        for folder in folders_of(data):
            self._begin_with(folder)
        # Made here so that what it refuses is an error before any work; nothing starts yet.
        choose_executor(config.executor, config.workers)

    def _begin_with(self, folder: Path) -> None:
        """Take over the trials of a data set."""
        found, spec = load_data_set(folder), signal_spec(self.config)
        for name, theirs, ours in (
            ("points", found.points, self.points),
            ("signals", found.signals, tuple(spec.names)),
        ):
            if tuple(theirs) != tuple(ours):
                raise ValueError(
                    f"algorithm.options.data={folder} has other {name} than this training: "
                    f"{list(theirs)}, not {list(ours)}; set them alike, or leave data out"
                )
        have = {(trial.task, trial.repeat, trial.target.tobytes()) for trial in self.trials}
        again = [t for t in found.trials if (t.task, t.repeat, t.target.tobytes()) in have]
        if again:
            raise ValueError(
                f"algorithm.options.data={folder} holds {len(again)} trials that a folder before "
                "it holds, too, as what a run leaves holds all that it began with; name each once"
            )
        self.trials += found.trials
        self.episodes = len(self.points) * len(self.trials)
        self.fine_tune_steps = sum(len(self.points) * trial.steps for trial in self.trials)

    def iterate(self) -> dict[str, float]:
        """Try some tasks more."""
        started, begun = time.perf_counter(), len(self.trials)
        first = 1 + max((trial.episode for trial in self.trials), default=-1)
        attempt = partial(try_episode, self.config, self.points, self.probe, self.share)
        with choose_executor(self.config.executor, self.config.workers) as executor:
            numbers = product(range(first, first + self.tasks), range(self.repeats))
            self.trials += in_order(executor.map(attempt, list(numbers)))
        collecting = time.perf_counter() - started
        new = self.trials[begun:]
        steps = sum(len(self.points) * trial.steps for trial in new)
        self.episodes += len(self.points) * len(new)
        self.fine_tune_steps += steps
        return self._told(new) | _speed(len(self.points) * len(new), steps, collecting, started)

    def _told(self, new: Sequence[Trial]) -> dict[str, float]:
        """Return how much there is to win so far, and what the newest tasks were like."""
        reached = np.array([trial.target.mean(axis=0) for trial in self.trials])
        return {
            "return": float(np.mean([trial.target.mean() for trial in new])),
            "target_accuracy": float(reached.mean(axis=0).max()),
            "best_of_each_task": float(reached.max(axis=1).mean()),
            "diverged": float(np.mean([trial.diverged.mean() for trial in new])),
        }

    def policy(self) -> LearnedPolicy:
        """Return the policy that is fitted to all that was tried so far."""
        network = self._network(*self._fitted())
        return export_policy(self.config, network)

    def _fitted(self) -> tuple[Forest, int]:
        """Return the forest, and the point that was best over all tasks."""
        if not self.trials:
            return Forest(1, 1, 1, len(self.points)), 0
        signals = signal_spec(self.config).names
        features = np.stack([features_of(trial, signals, self.summary) for trial in self.trials])
        gains = np.stack([gains_of(trial) for trial in self.trials])
        forest = fit_forest(features, gains, self.config.seed, **self.options)
        return forest, int(gains.mean(axis=0).argmax())

    def _network(self, forest: Forest, fallback: int) -> ProbingNetwork:
        network = ProbingNetwork(
            signal_spec(self.config).names,
            self.points,
            self.probe,
            self.share,
            fallback=fallback,
            trees=len(forest.feature),
            nodes=forest.feature.shape[1],
            depth=forest.depth,
            low=self.range.low,
            high=self.range.high,
            about=self.summary.about,
            statistics=self.summary.statistics,
        )
        network.forest.load_state_dict(forest.state_dict())
        return network

    def state_dict(self) -> dict[str, Any]:
        """Return all that was tried."""
        return {
            "trials": [to_plain(trial) for trial in self.trials],
            "episodes": self.episodes,
            "fine_tune_steps": self.fine_tune_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the tasks after those that were tried."""
        self.trials = [from_plain(each) for each in state["trials"]]
        self.episodes, self.fine_tune_steps = state["episodes"], state["fine_tune_steps"]

    def leave(self, out: Path) -> None:
        """Write all that was tried as a data set, `trials/`, for other runs to begin with."""
        save_data_set(
            out / TRIALS, DataSet(signal_spec(self.config).names, self.points, self.trials)
        )

    def close(self) -> None:
        """Do nothing: workers end with each iteration."""


def folders_of(data: Any) -> list[Path]:
    """Return the folders of an option `data`.

    Raises:
        ValueError: it is neither a folder nor a list of them.

    Example:
        >>> folders_of("runs/a/trials"), folders_of(None)
        ([PosixPath('runs/a/trials')], [])
    """
    named = [] if data is None else [data] if isinstance(data, str) else data
    if not isinstance(named, list | tuple) or not all(isinstance(each, str) for each in named):
        raise ValueError(
            f"algorithm.options.data must be a folder or a list of folders, got {data!r:.100}"
        )
    return [Path(each) for each in named]


def _speed(fine_tunes: int, steps: int, collecting: float, started: float) -> dict[str, float]:
    total = time.perf_counter() - started
    return {
        "seconds": total,
        "seconds_collecting": collecting,
        "seconds_learning": total - collecting,
        "fine_tune_steps_per_second": steps / total,
        "fine_tunes_per_second": fine_tunes / total,
        "share_collecting": collecting / total,
        "share_learning": 1.0 - collecting / total,
    }


def try_episode(
    config: TrainConfig,
    points: tuple[Point, ...],
    probe: Point,
    share: float,
    number: tuple[int, int],
) -> Trial:
    """Try one episode, with one of its seeds, at all points, in whatever process."""
    return _trier(config.model_dump_json(), points, probe, share)(*number)


@lru_cache(maxsize=1)
def _trier(config: str, points: tuple[Point, ...], probe: Point, share: float) -> Trier:
    told = TrainConfig.model_validate_json(config)
    rules = EpisodeRules(build_task(told.task), told.finetuning, told.environment)
    return Trier(rules, points, probe, share)
