"""How the inner network is fine-tuned: a config with its names resolved, once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from l2o.configs.schema import FineTuning, Named
from l2o.deciding.policy import Policy
from l2o.envs.build import build
from l2o.envs.fine_tuning.compute import Compute
from l2o.envs.optimizers import OPTIMIZERS, InnerOptimizer
from l2o.envs.runtime.device import resolve_device
from l2o.envs.tasks.base import Task
from l2o.guidance import GUIDANCE, Guidance
from l2o.guidance.weight import Weight
from l2o.intervals import Interval
from l2o.intervals.plain import as_interval
from l2o.registry import unknown_name


@dataclass(frozen=True)
class InnerLoop:
    """A `FineTuning` config whose optimizer, guidance, interval and device are objects.

    Attributes:
        steps: length in optimizer steps; None takes the task's.
        optimizer: builds the inner optimizer.
        guidance: terms by name, as they are before any fine-tune; `terms` gives those of one.
        interval: how many optimizer steps lie between decisions.
        device: of the inner network.
        compute: number format, memory layout, parts of batches.
        source_weights: how much of each batch is of which source.
        source_norm: whether batch norm has statistics of each source.
        rehearsal: weight of the loss on labelled images of the proxy.

    Example:
        >>> InnerLoop.of(FineTuning(steps=30)).optimizer
        SGD(momentum=0.9, weight_decay=0.0005, nesterov=False)
    """

    steps: int | None
    optimizer: InnerOptimizer
    guidance: Mapping[str, Guidance[Any]]
    interval: Interval
    device: torch.device
    compute: Compute = field(default_factory=Compute)
    source_weights: Any = "size"
    source_norm: bool = False
    rehearsal: float = 0.0

    @classmethod
    def of(cls, config: FineTuning | InnerLoop) -> InnerLoop:
        """Resolve a config; what is resolved already stays.

        Raises:
            ValueError: unknown names, or values that what they name refuses.
        """
        if isinstance(config, InnerLoop):
            return config
        return cls(
            device=resolve_device(config.device),
            steps=config.steps,
            optimizer=build_optimizer(config),
            guidance=build_guidance(config),
            interval=decision_interval(config),
            compute=Compute(
                config.precision, config.channels_last, config.accumulate, config.compile
            ),
            source_weights=config.source_weights,
            source_norm=config.source_norm,
            rehearsal=config.rehearsal,
        )

    @property
    def is_plain(self) -> bool:
        """Whether batches are of one loss, from one list of examples: what stacks have."""
        return self.source_weights == "size" and not self.rehearsal and not self.source_norm

    def interval_of(self, policy: Policy | None, steps: int) -> Interval:
        """Return the interval of a fine-tune's decisions: the policy's own, if it keeps to that.

        Args:
            policy: that decides; None: it is decided elsewhere.
            steps: length of the fine-tune.
        """
        if policy is None or not policy.keeps_interval:
            return self.interval
        return policy.decision_interval(steps)

    def terms(self, task: Task) -> dict[str, Guidance[Any]]:
        """Return fresh guidance terms for one fine-tune of a task, by name.

        Raises:
            ValueError: guidance that the task does not have the means for.
        """
        # Copies: terms have a scale, and may have networks and statistics, of their own.
        fresh = {name: copy.deepcopy(term) for name, term in self.guidance.items()}
        return dict(zip(fresh, prepare_guidance(fresh.values(), task), strict=True))

    def changed(
        self, optimizer: InnerOptimizer | None = None, weights: Mapping[str, Weight] | None = None
    ) -> InnerLoop:
        """Return this loop with another optimizer, or with other weights of guidance terms."""
        weights = weights or {}
        guidance = {
            name: term.with_weight(weights[name]) if name in weights else term
            for name, term in self.guidance.items()
        }
        return replace(self, optimizer=optimizer or self.optimizer, guidance=guidance)


def build_optimizer(config: FineTuning) -> InnerOptimizer:
    """Make what builds the inner optimizer."""
    return build("optimizer", OPTIMIZERS, config.optimizer)


def build_guidance(config: FineTuning) -> dict[str, Guidance[Any]]:
    """Make the guidance terms, by name."""
    return {
        name: build("guidance", GUIDANCE, Named(name=name, options=options))
        for name, options in config.guidance.items()
    }


def prepare_guidance(terms: Iterable[Guidance[Any]], task: Task) -> list[Guidance[Any]]:
    """Give terms what they need to know of a task's pretraining.

    Raises:
        ValueError: the task does not know it.
    """
    return [
        term.with_pretraining(lambda: importance_of(task.name, task.importance)) for term in terms
    ]


def importance_of(
    name: str, importance: Callable[[], Mapping[str, Tensor]] | None
) -> Mapping[str, Tensor]:
    """Return the importance of the parameters of a task's proxy.

    Raises:
        ValueError: the task does not know it.
    """
    if importance is None:
        raise ValueError(
            f"task {name!r} does not know how important its proxy's parameters are, which "
            "guidance 'si' needs; give Task.importance, gathered by "
            "l2o.guidance.ImportanceTracker or estimated by estimate_importance"
        )
    with torch.enable_grad():
        return importance()


def decision_interval(config: FineTuning) -> Interval:
    """Return the interval that a config's number or mapping stands for."""
    return as_interval(config.model_dump(include={"interval"})["interval"])


def check_guidance_actions(names: Sequence[str], guidance: Mapping[str, Any]) -> None:
    """Raise unless all names are those of guidance terms, each once.

    Raises:
        ValueError: an unknown name, or one that is there twice.
    """
    for name in names:
        if name not in guidance:
            raise ValueError(
                unknown_name("guidance term", name, guidance)
                + " environment.guidance_actions takes names of finetuning.guidance."
            )
        if names.count(name) > 1:
            raise ValueError(f"environment.guidance_actions names {name!r} twice; name it once")
