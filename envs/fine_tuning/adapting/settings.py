"""What a second stage does: a config with its names resolved, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from l2o.adaptation import ADAPTATION, Adaptation, Share
from l2o.configs.adaptation import Adaptation as Config
from l2o.configs.schema import FineTuning, Named
from l2o.envs.build import build
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.tasks.base import Task
from l2o.schedules import SCHEDULES, Schedule


@dataclass(frozen=True)
class Settings:
    """An `Adaptation` config whose method, loop and schedule are objects.

    Attributes:
        config: what it is made of.
        method: as it is before any training; a stage has a copy of its own.
        loop: optimizer, guidance and decisions of the stage.
        schedule: of the base learning rate; None: it stays.
        mix: share of source images, by round.

    Example:
        >>> settings = Settings.of(Config(method="cbst", rounds=2, steps=30), FineTuning())
        >>> settings.steps, settings.phases
        (60, 1)
    """

    config: Config
    method: Adaptation
    loop: InnerLoop
    schedule: Schedule | None
    mix: Share

    @classmethod
    def of(cls, config: Config, finetuning: FineTuning) -> Settings:
        """Resolve a config.

        Args:
            config: of the stage.
            finetuning: of the stage before; what the config leaves open is its.

        Raises:
            ValueError: unknown names, or values that what they name refuses.
        """
        changed: dict[str, Any] = {}
        if config.optimizer is not None:
            given = config.optimizer
            changed["optimizer"] = Named(name=given) if isinstance(given, str) else given
        if config.guidance is not None:
            changed["guidance"] = config.guidance
        loop = finetuning.model_copy(update={**changed, "steps": None, "compile": False})
        named = config.base_lr_schedule
        return cls(
            config=config,
            method=build("adaptation method", ADAPTATION, config.method),
            loop=InnerLoop.of(loop),
            schedule=None if named is None else build("schedule", SCHEDULES, named),
            mix=Share(config.mix.first, config.mix.growth, config.mix.most),
        )

    @property
    def steps(self) -> int:
        """Optimizer steps of the stage."""
        return self.config.rounds * self.config.steps

    @property
    def per_round(self) -> int:
        """Optimizer steps of a round; a joint stage is one."""
        return self.config.steps if self.method.relabels else self.steps

    @property
    def phases(self) -> int:
        """Optimizer steps on each batch."""
        return len(self.method.phases)

    def sizes(self, number: int, batch_size: int) -> tuple[int, int]:
        """Return how many images of source and target a batch of a round has, 1 of each at least.

        Example:
            >>> Settings.of(Config(method="cbst"), FineTuning()).sizes(0, 32)
            (16, 16)
        """
        whole = self.config.batch_size or batch_size
        if not self.method.relabels:
            return whole, whole
        source = min(max(1, round(self.mix.at(number) * whole)), max(1, whole - 1))
        return source, max(1, whole - source)


def check_task(task: Task) -> None:
    """Raise unless a task has what a second stage needs.

    Raises:
        ValueError: no unlabelled images, or another objective than classes.
    """
    if task.target_train is None:
        raise ValueError(
            f"task {task.name!r} has no unlabelled images to adapt to; say how many or which: "
            "task.options.target_train_images=256 (digits, garments), task.options.unlabelled=0.5 "
            "or =FOLDER (families over image files)"
        )
    objective = task.build_objectives()[0].name
    if objective not in ("classification", "segmentation"):
        raise ValueError(
            f"adaptation works with classes, but the objective of task {task.name!r} is "
            f"{objective!r}; leave `adaptation` out"
        )
