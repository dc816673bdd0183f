"""The vector environment: N fine-tunes as one stacked computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from l2o.configs.schema import Environment, FineTuning, Named
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.rewards import Outcome
from l2o.envs.runtime.stopwatch import Stopwatch
from l2o.envs.stacked.fine_tune import StackedFineTune
from l2o.envs.stacked.infos import collect_infos
from l2o.envs.stacked.memory import check_memory
from l2o.envs.stacked.start import Start, not_in_memory
from l2o.envs.tasks import TaskFamily

Numbers = Sequence[int]
Infos = dict[int, dict[str, Any]]


class StackedFineTuneEnv(VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """N environments like `FineTuneEnv`, trained and evaluated together on one device.

    Environment i draws the same tasks, base LRs and seeds as a `FineTuneEnv` seeded `seed + i`, and
    gives the same observations, rewards and infos; networks may differ in architecture.

    Args:
        task: name of a family, its config, or a family object.
        finetuning: the inner loop (`l2o.configs.schema.FineTuning`, or its fields as a mapping).
        environment: base-LR range, actions, observations, rewards (likewise).
        num_envs: N.
        autoreset_mode: when an environment that has ended begins anew: "NextStep" (Gymnasium's
            default), "SameStep" (stable-baselines3's) or "Disabled".
        chunk: networks computed at once; None takes the default of the device.
        precision: "float32", "tf32" (CUDA) or "bf16".
        memory: bytes that may be used; None takes what is free.

    Observation: float32 `[N, rows, F]`. Action: `[N, rows]`. In mode SameStep the last
    observation and info of an episode are in `infos["final_obs"]` and `infos["final_info"]`.

    `reset(options=...)` takes what `FineTuneEnv` takes, and `reset_mask`, a boolean array of the
    environments to reset.

    Raises:
        ValueError: on reset, if N fine-tunes need more memory than there is; the message names the
            largest N that fits.

    Example:
        >>> import gymnasium, l2o.envs
        >>> env = gymnasium.make_vec(
        ...     "l2o/SynToReal-v0", num_envs=16, task="digits"
        ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        task: str | Named | TaskFamily = "digits",
        finetuning: FineTuning | Mapping[str, Any] | None = None,
        environment: Environment | Mapping[str, Any] | None = None,
        *,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        chunk: int | None = None,
        precision: str = "float32",
        memory: int | None = None,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self.rules = EpisodeRules(task, finetuning, environment)
        if not self.rules.family.in_memory:
            raise ValueError(not_in_memory(f"task family {self.rules.family.name!r}"))
        self.stopwatch = Stopwatch()
        self.num_envs = num_envs
        self.group = self.rules.config.group
        if num_envs % self.group:
            raise ValueError(
                f"num_envs={num_envs} must be a multiple of environment.group={self.group}"
            )
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.rules.observation_space
        self.single_action_space = self.rules.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.memory = memory
        self.runs = StackedFineTune(
            self.rules.loop,
            num_envs,
            self.rules.rows,
            validate=self.rules.config.validation,
            signals=self.rules.signals,
            guidance_actions=self.rules.config.guidance_actions,
            chunk=chunk,
            precision=precision,
        )
        self.runs.stopwatch = self.stopwatch
        self._randoms: list[np.random.Generator | None] = [None] * num_envs
        self._withheld: list[list[int]] = [[] for _ in range(num_envs)]
        self._outcomes = [Outcome() for _ in range(num_envs)]
        self._ended: NDArray[np.bool_] = np.zeros(num_envs, np.bool_)
        self.reset_infos: Infos = {}
        self._checked = False

    # Reset --------------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin fine-tunes of freshly drawn tasks."""
        given = dict(options or {})
        mask = given.pop("reset_mask", np.ones(self.num_envs, np.bool_))
        numbers = np.flatnonzero(mask).tolist()
        if not self._checked and len(numbers) < self.num_envs:
            raise gym.error.ResetNeeded("the first reset must be of all environments")
        seeds = [None] * self.num_envs if seed is None else seed
        if isinstance(seeds, int):
            seeds = [seeds + number for number in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        # Equal generators draw equal episodes: that is all that makes a group.
        seeds = [seeds[number - number % self.group] for number in range(self.num_envs)]
        self._seed(numbers, seeds)
        self.reset_infos = self._begin(numbers, given)
        return self._observe(), collect_infos(self.reset_infos, self.num_envs)

    def _seed(self, numbers: Numbers, seeds: Sequence[int | None]) -> None:
        """Give environments new generators where they get a seed or have none yet."""
        drawn: dict[int, int] = {}
        for number in numbers:
            if seeds[number] is not None or self._randoms[number] is None:
                first = number - number % self.group
                # Without a seed one is drawn for the group, not for each of it.
                seed = drawn.get(first) if seeds[number] is None else seeds[number]
                self._randoms[number], drawn[first] = seeding.np_random(seed)

    def _begin(self, numbers: Numbers, options: dict[str, Any]) -> Infos:
        """Draw and start new fine-tunes; return their infos."""
        if not numbers:
            return {}
        self.rules.check_options(options, also=", reset_mask")
        drawn: dict[int, dict[str, Any]] = {}
        for number in numbers:
            generator = self._randoms[number]
            assert generator is not None
            drawn[number] = self.rules.draw(generator) | options
            self._withheld[number] = self.rules.draw_withheld(generator)
        with self.stopwatch.on("making"):
            starts = {number: self._start(facts) for number, facts in drawn.items()}
        if not self._checked:
            check_memory(
                next(iter(starts.values())),
                self.num_envs,
                self.runs,
                self._splits(),
                self.memory,
            )
            self._checked = True
        self.runs.reset(starts, self._scored)
        self._ended[numbers] = False
        for number, outcome in self._measure(numbers).items():
            self._outcomes[number] = outcome
        layers = {n: len(self.runs.starts[n].layout.groups) for n in numbers}
        return {number: {**drawn[number], "layers": layers[number]} for number in numbers}

    def _start(self, drawn: Mapping[str, Any]) -> Start:
        task = self.rules.sample(drawn["task_seed"])
        return Start(
            task,
            seed=drawn["seed"],
            base_lr=drawn["base_lr"],
            optimizer=self.rules.draws.inner_optimizer(drawn),
            guidance_weights=drawn.get("guidance_weights"),
        )

    # Step ---------------------------------------------------------------------------------------

    def step(
        self, actions: Any
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Train one window with these multipliers; what has ended is reset as the mode says."""
        observation, rewards, terminated, infos = self.step_each(actions)
        truncated = np.zeros(self.num_envs, np.bool_)
        return observation, rewards, terminated, truncated, collect_infos(infos, self.num_envs)

    def step_each(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], Infos]:
        """Step, and return observations, rewards, terminations and each environment's own info."""
        self._check_steppable()
        waiting = np.flatnonzero(self._ended).tolist()
        chosen = self.rules.multipliers.decode(torch.as_tensor(np.asarray(actions)))
        self.runs.set_multipliers(chosen)
        self.runs.advance(~self._ended, self._scored)
        rewards = np.zeros(self.num_envs, np.float64)
        infos = self._score(np.flatnonzero(~self._ended).tolist(), rewards)
        terminated = self._whole_groups(self.runs.done) & ~self._ended
        self._ended = terminated.copy()
        infos |= self._begin(waiting, {})
        if self.autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            ended = np.flatnonzero(terminated).tolist()
            last = self._observe()
            final = {n: {"final_obs": last[n], "final_info": infos[n]} for n in ended}
            infos |= {n: final[n] | info for n, info in self._begin(ended, {}).items()}
        return self._observe(), rewards, terminated, infos

    def _whole_groups(self, done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where all of a group are done: one that diverged waits for the others."""
        return done.reshape(-1, self.group).all(axis=1).repeat(self.group)

    def _check_steppable(self) -> None:
        if not self._checked:
            raise gym.error.ResetNeeded("call reset() before step()")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            ended = np.flatnonzero(self._ended).tolist()
            raise gym.error.ResetNeeded(f"environments {ended} have ended; reset them")

    def _score(self, numbers: Numbers, rewards: NDArray[np.float64]) -> Infos:
        """Write the rewards of environments that were trained; return their infos."""
        infos: Infos = {}
        for number, after in self._measure(numbers).items():
            before, self._outcomes[number] = self._outcomes[number], after
            rewards[number], terms = self.rules.reward.judge(before, after)
            step = int(self.runs.step[number])
            infos[number] = {"rewards": terms, **after.facts(), "step": step}
        return infos

    @property
    def _scored(self) -> list[str]:
        return sorted(self.rules.reward.needs)

    def _splits(self) -> list[str]:
        needs = set[str](self.rules.reward.needs)
        if self.rules.config.validation:
            needs.add("source_validation")
        return sorted(needs)

    def _measure(self, numbers: Numbers) -> dict[int, Outcome]:
        """Return what the newest decision has told of some environments."""
        runs = self.runs
        columns: dict[str, list[Any]] = {
            "source_loss": runs.last_loss.tolist(),
            "proxy_kl": runs.last_proxy_kl.tolist(),
            "diverged": runs.diverged.tolist(),
            "done": runs.done.tolist(),
        }
        scores = {
            split: {name: values.tolist() for name, values in found.items()}
            for split, found in runs.scores.items()
        }
        told: dict[int, Outcome] = {}
        for number in numbers:
            facts = {key: values[number] for key, values in columns.items()}
            own = {
                split: {name: values[number] for name, values in found.items()}
                for split, found in scores.items()
            }
            told[number] = Outcome(**facts, scores=own, objective=runs.starts[number].objective)
        return told

    def _observe(self) -> NDArray[np.float32]:
        seen: NDArray[np.float32] = self.runs.observation.numpy().copy()
        for number, columns in enumerate(self._withheld):
            seen[number][:, columns] = 0.0
        return seen
