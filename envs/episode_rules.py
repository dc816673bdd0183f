"""Drawing episodes: which task, at which base LR, with which optimizer and guidance weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from l2o.configs.schema import Environment, FineTuning
from l2o.envs.build import build
from l2o.envs.optimizers import OPTIMIZERS, InnerOptimizer

TASK_SEEDS = 2**31
"""Episodes draw task seeds below this; evaluation uses seeds from here on."""

Drawn = dict[str, Any]
"""task_seed, base_lr, seed; `optimizer` (a number) and `guidance_weights` where they are drawn."""


class EpisodeDraws:
    """Draws what differs from episode to episode, as the environment's config says.

    Args:
        environment: the ranges.
        finetuning: what holds where nothing is drawn.

    Attributes:
        options: what `reset(options=...)` may fix.

    Raises:
        ValueError: an optimizer that does not exist or refuses its options, or a weight of a
            guidance term that `finetuning` does not have.
    """

    def __init__(self, environment: Environment, finetuning: FineTuning) -> None:
        self.environment = environment
        self.finetuning = finetuning
        self.optimizers: list[InnerOptimizer] = [
            build("optimizer", OPTIMIZERS, named) for named in environment.optimizers
        ]
        unknown = set(environment.guidance_weights) - set(finetuning.guidance)
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
        """Return the optimizer of an episode, None for the config's."""
        return self.optimizers[drawn["optimizer"]] if "optimizer" in drawn else None

    def config(self, drawn: Mapping[str, Any]) -> FineTuning:
        """Return the inner loop of an episode."""
        changed: dict[str, Any] = {}
        if "optimizer" in drawn:
            chosen = self.environment.optimizers[drawn["optimizer"]]
            changed["optimizer"] = {"name": chosen.name, "options": chosen.options}
        if "guidance_weights" in drawn:
            weights = drawn["guidance_weights"]
            changed["guidance"] = {
                name: {**options, "weight": weights[name]} if name in weights else options
                for name, options in self.finetuning.guidance.items()
            }
        if not changed:
            return self.finetuning
        return FineTuning.model_validate({**self.finetuning.model_dump(), **changed})


def _log_uniform(span: tuple[float, float], generator: np.random.Generator) -> float:
    low, high = np.log(span)
    return float(np.exp(generator.uniform(low, high)))
