"""Which of a simulator's parameters it helps to vary: an ablation of ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import typer

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.statistics import estimate, mean, paired_difference
from l2o.benchmarks.studies.base import KeptStudy
from l2o.benchmarks.studies.options import Json, Overrides, count
from l2o.configs.learn_simulator import LearnSimulatorConfig
from l2o.configs.load import load_config
from l2o.envs.runtime.executor import Here
from l2o.envs.simulators.distributions import PointDistribution
from l2o.envs.simulators.distributions.uniform import Uniform
from l2o.envs.simulators.distributions.written import given_distribution
from l2o.envs.simulators.learning.setting import Setting
from l2o.policies.reinforce.simulators.evaluation import evaluate
from l2o.policies.reinforce.simulators.train import setting_of

ALL, NONE = "all varied", "none varied"


@dataclass(frozen=True)
class Scored:
    """What fine-tunes on one choice of ranges score on `target_test`, in order of seeds."""

    row: str
    scores: list[float] = field(default_factory=list)
    failed: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class RangesStudy(KeptStudy[str, Scored, Sequence[Scored]]):
    """Leave the ranges of a simulator's parameters out, one by one.

    A parameter is either varied over its range, as the config's `start` says (null: over all of its
    bounds), or held at its default. Each is left out of all, and varied alone; every row has the
    same number of drawn images and the same seeds, and is scored on real test images.
    """

    record: ClassVar[type[Any]] = Scored
    examples = ("l2o study ranges simulator-digits --seeds 4 --out runs/ranges",)
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A preset or YAML of `l2o train simulator-...`.")
    ]
    overrides: Overrides = ()
    seeds: Annotated[int, count("Fine-tunes of each row.")] = 4
    json: Json = None

    def settings(self) -> LearnSimulatorConfig:
        """Return the config.

        Raises:
            ValueError: it learns a policy, no simulator.
        """
        found = load_config("train", self.config, self.overrides)
        if not isinstance(found, LearnSimulatorConfig):
            raise ValueError(
                f"{self.config} learns a policy and has no simulator; take simulator-digits, or "
                "another config with a `search`"
            )
        return found

    def plan(self) -> Sequence[str]:
        """Return the rows: all, none, and two for each parameter."""
        names = list(setting_of(self.settings()).simulator.parameters)
        return [ALL, NONE, *(f"without {n}" for n in names), *(f"only {n}" for n in names)]

    def run(self, piece: str) -> Scored:
        """Score a row."""
        config = self.settings()
        setting = setting_of(config)
        setting.check()
        ranges = ranges_of(setting, config, piece)
        with Here() as executor:
            found = evaluate(setting, {piece: ranges}, self.seeds, config.seed, executor)[piece]
        return Scored(piece, list(found["target_test"]), int(found["failed"]))

    def summarise(self, found: Sequence[Scored]) -> Sequence[Scored]:
        """Return the rows as they are."""
        return list(found)

    def tables(self, answer: Sequence[Scored]) -> Sequence[Table]:
        """Return the rows beside what the first two of them score."""
        rivals = {each.row: np.asarray([each.scores]).T for each in answer[:2]}

        def difference(row: Scored) -> str:
            rival = rivals[NONE if row.row.startswith("only") else ALL]
            found = paired_difference(np.asarray([row.scores]).T, rival)
            return f"{100 * found.value:+.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"

        def score(row: Scored) -> str:
            found = estimate(np.asarray([row.scores]).T, mean)
            return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"

        columns = {
            "": lambda row: row.row,
            "target test": score,
            "against all, or none, varied": difference,
            "failed": lambda row: str(row.failed),
        }
        return [Table.of("Ranges", answer, columns)]


def ranges_of(setting: Setting, config: LearnSimulatorConfig, row: str) -> PointDistribution:
    """Return what a row draws from: parameters within their range, others at their default."""
    space = setting.simulator.parameters
    whole: PointDistribution = (
        Uniform(space)
        if config.start is None
        else given_distribution(setting.simulator, config.start)
    )
    word, _, name = row.partition(" ")
    varied = {
        "all": set(space),
        "none": set(),
        "without": set(space) - {name},
        "only": {name},
    }[word]
    ranges: dict[str, Any] = {n: space[n].default for n in space if n not in varied}
    weights = {n: whole.shares(n) for n in varied if whole.shares(n)}
    ranges |= {n: whole.ends(n) for n in varied if n not in weights}
    return Uniform(space, ranges, weights)
