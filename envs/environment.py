"""The environment: one episode is one fine-tune, actions are layer-wise learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from l2o.configs.schema import Environment, FineTuning, Named
from l2o.envs.build import build
from l2o.envs.episode_rules import EpisodeDraws
from l2o.envs.fine_tune import FineTune, check_finetuning, check_guidance_actions
from l2o.envs.rewards import REWARDS, Outcome
from l2o.envs.runtime.stopwatch import Stopwatch
from l2o.envs.spaces import action_space, observation_space
from l2o.envs.tasks import TASKS, TaskFamily
from l2o.multipliers import multipliers_from_dict
from l2o.signals import DEFAULT_SIGNALS
from l2o.signals.spec import SignalSpec

_GROUPED_TASKS = 16
"""Tasks kept for the environments of groups, which begin one after the other."""


class FineTuneEnv(gym.Env[NDArray[np.float32], Any]):
    """Fine-tunes one task's network per episode; the agent sets each layer's learning rate.

    The inner loop is a real `torch.optim` optimizer under the real controller: what the agent
    learns here is what it meets in deployment. One step of the environment is `interval` optimizer
    steps. Guidance terms of `environment.guidance_actions` have rows after the layers', whose
    actions scale their weights. Networks of fewer layers than `family.max_layers` are padded with
    rows of zeros after these, whose actions are ignored.

    Args:
        task: name of a family, its config, or a family object.
        finetuning: the inner loop (`l2o.configs.schema.FineTuning`, or its fields as a mapping).
        environment: base-LR range, actions, observations, rewards (likewise).

    Observation: float32 `[rows, F]`, finite, as `SignalSpec` encodes it; rows are max_layers, and
    one for each guidance action. Action: a log range: `Box(-1, 1, [rows])`; bins: `MultiDiscrete`.
    Reward: the weighted sum of the named terms; `info["rewards"]` has each, and `info` what was
    measured of the `Outcome`.

    `reset(options=...)` takes `task_seed`, `base_lr` and `seed` (of batches and head), and
    `optimizer` (a number) and `guidance_weights` where these are drawn, to fix what is otherwise
    drawn.

    Example:
        >>> import gymnasium, l2o.envs
        >>> env = gymnasium.make("l2o/SynToReal-v0", task="digits")  # doctest: +SKIP
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        task: str | Named | TaskFamily = "digits",
        finetuning: FineTuning | Mapping[str, Any] | None = None,
        environment: Environment | Mapping[str, Any] | None = None,
    ) -> None:
        self.family = _family(task)
        self.finetuning = FineTuning.model_validate(finetuning or {})
        check_finetuning(self.finetuning)
        self.config = Environment.model_validate(environment or {})
        self.draws = EpisodeDraws(self.config, self.finetuning)
        self.multipliers = multipliers_from_dict(self.config.multipliers)
        self.signals = SignalSpec(self.config.signals or DEFAULT_SIGNALS)
        self.rewards = {name: build("reward", REWARDS, name) for name in self.config.rewards}
        self.needs = frozenset[str]().union(*(term.needs for term in self.rewards.values()))
        check_guidance_actions(self.config.guidance_actions, self.finetuning.guidance)
        self.rows = self.family.max_layers + len(self.config.guidance_actions)
        self.observation_space = observation_space(self.signals, self.rows)
        self.action_space = action_space(self.multipliers, self.rows)
        # A pool of tasks is kept: making one can take as long as a fourth of its fine-tune.
        keep = self.config.tasks or (_GROUPED_TASKS if self.config.group > 1 else None)
        self.sample = lru_cache(keep)(self.family.sample) if keep else self.family.sample
        self.stopwatch = Stopwatch()
        self._run: FineTune | None = None
        self._outcome = Outcome()
        self._withheld: list[int] = []

    @property
    def run(self) -> FineTune:
        """The fine-tune of this episode."""
        if self._run is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        return self._run

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a fine-tune of a freshly drawn task."""
        super().reset(seed=seed)
        drawn = self.draw() | (options or {})
        self.check_options(drawn)
        with self.stopwatch.on("making"):
            self._run = FineTune(
                self.sample(drawn["task_seed"]),
                self.draws.config(drawn),
                base_lr=drawn["base_lr"],
                seed=drawn["seed"],
                validate=self.config.validation,
                signals=self.signals,
                guidance_actions=self.config.guidance_actions,
            )
        self._withheld = self.draw_withheld()
        self._outcome = self._measure()
        return self._observe(), {**drawn, "layers": len(self._run.controller.groups)}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Train one window with these multipliers."""
        run = self.run
        if run.done:
            raise gym.error.ResetNeeded("the fine-tune has ended; call reset()")
        chosen = self.multipliers.decode(torch.as_tensor(np.asarray(action)))
        run.controller.set_multipliers(chosen[: len(run.controller.rows)])
        with self.stopwatch.on("stepping"):
            run.advance(run.window)
        before, self._outcome = self._outcome, self._measure()
        reward, info = self.judge(before, self._outcome)
        return self._observe(), reward, run.done, False, {**info, "step": run.step}

    def judge(self, before: Outcome, after: Outcome) -> tuple[float, dict[str, Any]]:
        """Return a decision's reward, and as info its terms by name and what was measured.

        A fine-tune that had ended before (in a stack it waits for its group) earns nothing.
        """
        terms = {
            name: 0.0 if before.done else self.config.rewards[name] * term(before, after)
            for name, term in self.rewards.items()
        }
        measured = {k: v for k, v in vars(after).items() if not math.isnan(v)}
        return float(sum(terms.values())), {"rewards": terms, **measured}

    def draw(self) -> dict[str, Any]:
        """Draw an episode: task, base LR, seed of head and batches, and what else is drawn."""
        return self.draws.draw(self.np_random)

    def check_options(self, options: Mapping[str, Any], also: str = "") -> None:
        """Raise ValueError unless these are things that `reset(options=...)` may fix."""
        known = self.draws.options
        if unknown := set(options) - known:
            raise ValueError(
                f"unknown reset options {sorted(unknown)}; known: {', '.join(sorted(known))}{also}"
            )

    def draw_withheld(self) -> list[int]:
        """Return the columns of optional signals that this episode's agent does not get to see."""
        withheld: list[int] = []
        for columns in OPTIONAL_SIGNALS:
            if self.np_random.random() < self.config.signal_dropout:
                withheld += [
                    self.signals.index(name) for name in columns if name in self.signals.names
                ]
        return withheld

    def _observe(self) -> NDArray[np.float32]:
        seen = self.run.controller.observation.numpy().astype(np.float32)
        padded = np.zeros(self.observation_space.shape or (), np.float32)
        padded[: len(seen)] = seen
        padded[:, self._withheld] = 0.0
        return padded

    def _measure(self) -> Outcome:
        run, nothing = self.run, float("nan")
        validated = "source_validation" in self.needs
        target = "target_validation" in self.needs
        with self.stopwatch.on("evaluating"):
            return Outcome(
                source_loss=run.last_loss,
                proxy_kl=run.last_proxy_kl,
                validation_loss=run.loss("source_validation") if validated else nothing,
                validation_accuracy=run.accuracy("source_validation") if validated else nothing,
                target_accuracy=run.accuracy("target_validation") if target else nothing,
                diverged=run.diverged,
                done=run.done,
            )


OPTIONAL_SIGNALS = (
    ("loss", "loss_trend", "has_loss", "window_loss"),
    ("proxy_kl", "proxy_kl_trend", "has_proxy_kl", "window_proxy_kl"),
    ("validation_loss", "validation_loss_trend", "has_validation_loss"),
    ("progress", "steps_left", "has_progress", "window_progress"),
)
"""Signals that a user may not supply; each row is there or missing as one."""


def _family(task: str | Named | TaskFamily) -> TaskFamily:
    if isinstance(task, TaskFamily):
        return task
    return build("task", TASKS, task)
