"""The rules of episodes: what each draws, what its agent sees and may do, and what it earns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np

from l2o.configs.schema import Environment, FineTuning, Named
from l2o.envs.build import build
from l2o.envs.fine_tuning.inner_loop import InnerLoop, check_guidance_actions
from l2o.envs.objectives.build import build_objective
from l2o.envs.optimizers import OPTIMIZERS, InnerOptimizer
from l2o.envs.rewards.weighted import WeightedRewards
from l2o.envs.tasks import TaskFamily
from l2o.envs.tasks.build import build_task
from l2o.networks.multipliers import Bins, MultiplierRange, multipliers_from_dict
from l2o.signals import DEFAULT_SIGNALS
from l2o.signals.spec import SignalSpec

TASK_SEEDS = 2**31
"""Episodes draw task seeds below this; evaluation uses seeds from here on."""

OPTIONAL_SIGNALS = (
    ("loss", "loss_trend", "has_loss", "window_loss"),
    ("proxy_kl", "proxy_kl_trend", "has_proxy_kl", "window_proxy_kl"),
    ("validation_loss", "validation_loss_trend", "has_validation_loss"),
    ("progress", "steps_left", "has_progress", "window_progress"),
)
"""Signals that a user may not supply; each row is there or missing as one."""

_GROUPED_TASKS = 16
"""Tasks kept for the environments of groups, which begin one after the other."""

Drawn = dict[str, Any]
"""task_seed, base_lr, seed; `optimizer` (a number) and `guidance_weights` where they are drawn."""


class EpisodeRules:
    """What holds for every episode, whether one fine-tune runs at a time or many in a stack.

    Names of configs are resolved here, once: what is refused is refused before any work.

    Args:
        task: name of a family, its config, or a family object.
        finetuning: the inner loop (`l2o.configs.schema.FineTuning`, or its fields as a mapping,
            or what was resolved of it).
        environment: base-LR range, actions, observations, rewards (likewise).

    Attributes:
        family: what tasks are sampled from.
        loop: the inner loop where nothing of it is drawn.
        config: the environment's config.
        draws: what differs from episode to episode.
        multipliers: what actions mean.
        signals: what observations hold.
        reward: what a decision earns.
        rows: of observations and actions.
        observation_space: float32 `[rows, F]`.
        action_space: a log range: `Box(-1, 1, [rows])`; bins: `MultiDiscrete`.
        sample: task seed -> task; a pool is kept where the config says so.

    Raises:
        ValueError: unknown names, with the nearest match, or values that what they name refuses.

    Example:
        >>> rules = EpisodeRules("digits", {"interval": 5})  # doctest: +SKIP
        >>> rules.draw(np.random.default_rng(0))["task_seed"]  # doctest: +SKIP
        1826701614
    """

    def __init__(
        self,
        task: str | Named | TaskFamily = "digits",
        finetuning: InnerLoop | FineTuning | Mapping[str, Any] | None = None,
        environment: Environment | Mapping[str, Any] | None = None,
    ) -> None:
        self.family: TaskFamily = task if isinstance(task, TaskFamily) else build_task(task)
        if not isinstance(finetuning, InnerLoop):
            finetuning = FineTuning.model_validate(finetuning or {})
        self.loop = InnerLoop.of(finetuning)
        self.config = Environment.model_validate(environment or {})
        self.draws = EpisodeDraws(self.config, self.loop)
        self.multipliers = multipliers_from_dict(self.config.multipliers)
        self.signals = SignalSpec(self.config.signals or DEFAULT_SIGNALS)
        objective = build_objective(self.family.objective)
        self.reward = WeightedRewards(self.config.rewards, objective)
        check_guidance_actions(self.config.guidance_actions, self.loop.guidance)
        self.rows = self.family.max_layers + len(self.config.guidance_actions)
        self.observation_space = observation_space(self.signals, self.rows)
        self.action_space = action_space(self.multipliers, self.rows)
        # A pool of tasks is kept: making one can take as long as a fourth of its fine-tune.
        keep = self.config.tasks or (_GROUPED_TASKS if self.config.group > 1 else None)
        self.sample = lru_cache(keep)(self.family.sample) if keep else self.family.sample

    def draw(self, generator: np.random.Generator) -> Drawn:
        """Draw an episode: task, base LR, seed of head and batches, and what else is drawn."""
        return self.draws.draw(generator)

    def check_options(self, options: Mapping[str, Any], also: str = "") -> None:
        """Raise ValueError unless these are things that `reset(options=...)` may fix."""
        known = self.draws.options
        if unknown := set(options) - known:
            raise ValueError(
                f"unknown reset options {sorted(unknown)}; known: {', '.join(sorted(known))}{also}"
            )

    def draw_withheld(self, generator: np.random.Generator) -> list[int]:
        """Return the columns of optional signals that an episode's agent does not get to see."""
        withheld: list[int] = []
        for columns in OPTIONAL_SIGNALS:
            if generator.random() < self.config.signal_dropout:
                withheld += [
                    self.signals.index(name) for name in columns if name in self.signals.names
                ]
        return withheld


class EpisodeDraws:
    """Draws what differs from episode to episode, as the environment's config says.

    Args:
        environment: the ranges.
        finetuning: what holds where nothing is drawn; resolved or not.

    Attributes:
        options: what `reset(options=...)` may fix.

    Raises:
        ValueError: an optimizer that does not exist or refuses its options, or a weight of a
            guidance term that `finetuning` does not have.
    """

    def __init__(self, environment: Environment, finetuning: FineTuning | InnerLoop) -> None:
        self.environment = environment
        self.base = InnerLoop.of(finetuning)
        self.optimizers: list[InnerOptimizer] = [
            build("optimizer", OPTIMIZERS, named) for named in environment.optimizers
        ]
        unknown = set(environment.guidance_weights) - set(self.base.guidance)
        if unknown:
            raise ValueError(
                f"environment.guidance_weights names {', '.join(sorted(unknown))}, which "
                "finetuning.guidance does not have; add it there, or take it out here"
            )
        self.options = {"task_seed", "base_lr", "seed"}
        if self.optimizers:
            self.options.add("optimizer")
        if environment.guidance_weights:
            self.options.add("guidance_weights")

    def draw(self, generator: np.random.Generator) -> Drawn:
        """Draw one episode."""
        environment = self.environment
        drawn: Drawn = {}
        span = environment.base_lr
        if self.optimizers:
            number = int(generator.integers(len(self.optimizers)))
            drawn["optimizer"] = number
            span = environment.optimizers[number].base_lr or span
        if environment.guidance_weights:
            drawn["guidance_weights"] = {
                name: self._weight(weights, generator)
                for name, weights in environment.guidance_weights.items()
            }
        drawn["task_seed"] = int(generator.integers(environment.tasks or TASK_SEEDS))
        drawn["base_lr"] = _log_uniform(span, generator)
        drawn["seed"] = int(generator.integers(TASK_SEEDS))
        return drawn

    def _weight(self, span: tuple[float, float], generator: np.random.Generator) -> float:
        absent = generator.random() < self.environment.guidance_absent
        weight = _log_uniform(span, generator)
        return 0.0 if absent else weight

    def inner_optimizer(self, drawn: Mapping[str, Any]) -> InnerOptimizer | None:
        """Return the optimizer of an episode, None for the inner loop's."""
        return self.optimizers[drawn["optimizer"]] if "optimizer" in drawn else None

    def loop(self, drawn: Mapping[str, Any]) -> InnerLoop:
        """Return the inner loop of an episode."""
        optimizer, weights = self.inner_optimizer(drawn), drawn.get("guidance_weights")
        return self.base.changed(optimizer, weights) if optimizer or weights else self.base


def observation_space(spec: SignalSpec, layers: int) -> gym.spaces.Box:
    """Return `Box [layers, F]` with each signal's own limit."""
    high = np.broadcast_to(np.asarray(spec.limits, np.float32), (layers, len(spec))).copy()
    return gym.spaces.Box(-high, high, dtype=np.float32)


def action_space(multipliers: MultiplierRange, layers: int) -> gym.Space:
    """Return `MultiDiscrete` for bins, else `Box(-1, 1, [layers])`."""
    if isinstance(multipliers, Bins):
        return gym.spaces.MultiDiscrete([multipliers.outputs] * layers)
    return gym.spaces.Box(-1.0, 1.0, (layers,), np.float32)


def _log_uniform(span: tuple[float, float], generator: np.random.Generator) -> float:
    low, high = np.log(span)
    return float(np.exp(generator.uniform(low, high)))
