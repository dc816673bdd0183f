"""The environment: one episode is one fine-tune, actions are layer-wise learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from l2o.configs.schema import Environment, FineTuning, Named
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.rewards import Outcome
from l2o.envs.runtime.stopwatch import Stopwatch
from l2o.envs.tasks import TaskFamily


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
    measured: metrics by split and name, as `target_accuracy` and `validation_loss`.

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
        self.rules = EpisodeRules(task, finetuning, environment)
        self.family, self.sample = self.rules.family, self.rules.sample
        self.multipliers, self.signals = self.rules.multipliers, self.rules.signals
        self.rows = self.rules.rows
        self.observation_space = self.rules.observation_space
        self.action_space = self.rules.action_space
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
        rules = self.rules
        drawn = rules.draw(self.np_random) | (options or {})
        rules.check_options(drawn)
        with self.stopwatch.on("making"):
            self._run = FineTune(
                self.sample(drawn["task_seed"]),
                rules.draws.loop(drawn),
                base_lr=drawn["base_lr"],
                seed=drawn["seed"],
                validate=rules.config.validation,
                signals=self.signals,
                guidance_actions=rules.config.guidance_actions,
            )
        self._withheld = rules.draw_withheld(self.np_random)
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
        reward, terms = self.rules.reward.judge(before, self._outcome)
        info = {"rewards": terms, **self._outcome.facts(), "step": run.step}
        return self._observe(), reward, run.done, False, info

    def _observe(self) -> NDArray[np.float32]:
        seen = self.run.controller.observation.numpy().astype(np.float32)
        padded = np.zeros(self.observation_space.shape or (), np.float32)
        padded[: len(seen)] = seen
        padded[:, self._withheld] = 0.0
        return padded

    def _measure(self) -> Outcome:
        run = self.run
        with self.stopwatch.on("evaluating"):
            return Outcome(
                source_loss=run.last_loss,
                proxy_kl=run.last_proxy_kl,
                scores={split: run.scores(split) for split in sorted(self.rules.reward.needs)},
                objective=run.objective,
                diverged=run.diverged,
                done=run.done,
            )
