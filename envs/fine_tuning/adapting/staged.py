"""A fine-tune in two stages, on the source and then on both domains, that goes on as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from l2o.control.controller import LRController
from l2o.envs.fine_tuning.adapting.predicting import label_free_scores, predictions
from l2o.envs.fine_tuning.adapting.rounds import Round
from l2o.envs.fine_tuning.adapting.stage import AdaptationStage
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.objectives import Objective
from l2o.intervals import Interval
from l2o.measures import Outputs

STAGES = ("source", "adaptation")
"""Names of the stages."""


class StagedFineTune:
    """Runs a fine-tune to its end, then a second stage that begins from its network.

    Each stage has an optimizer, a policy and a controller of its own; steps are counted through
    both. It has the interface that loops over a `FineTune` use.

    Args:
        source: the first stage.
        begin: (weights of the first stage, what to tell each round) -> the second stage.
        steps: of the second stage.
        base_lr: of both stages.

    Attributes:
        on_round: told of each round's pseudo-labels.
        rounds: facts of each round so far.

    Example:
        >>> run = StagedFineTune(source, begin, steps=300, base_lr=(0.03, 0.01))  # doctest: +SKIP
        >>> while not run.done:  # doctest: +SKIP
        ...     run.advance(run.window)
    """

    def __init__(
        self,
        source: FineTune,
        begin: Callable[[Mapping[str, Tensor], Callable[[Round], None]], AdaptationStage],
        steps: int,
        base_lr: tuple[float, float],
    ) -> None:
        self.source = source
        self.second: AdaptationStage | None = None
        self.on_round: Callable[[Round], None] | None = None
        self.rounds: list[dict[str, Any]] = []
        self._begin, self._steps, self._base_lr = begin, steps, base_lr
        self._start: dict[str, Tensor] = {}
        self._go_over()

    def _go_over(self) -> None:
        """Begin the second stage, if the first has ended and the second not begun."""
        if self.second is None and self.source.done and not self.source.diverged:
            weights = self.source.model.state_dict()
            self._start = {name: t.detach().clone() for name, t in weights.items()}
            self.second = self._begin(self._start, self._tell)

    def _tell(self, found: Round) -> None:
        self.rounds.append(found.facts())
        if self.on_round is not None:
            self.on_round(found)

    @property
    def now(self) -> FineTune:
        """The stage that goes on, or the last one."""
        return self.source if self.second is None else self.second

    @property
    def lengths(self) -> tuple[int, int]:
        """Steps of both stages."""
        return self.source.steps, self._steps

    @property
    def steps(self) -> int:
        """Steps of both stages together."""
        return sum(self.lengths)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.source.step + (0 if self.second is None else self.second.step)

    @property
    def done(self) -> bool:
        """Whether both stages have ended, or one has diverged."""
        return self.diverged or self.step >= self.steps

    @property
    def diverged(self) -> bool:
        """Whether the loss of a stage became infinite."""
        return self.now.diverged

    @property
    def window(self) -> int:
        """Steps until the next decision, or until the stage ends."""
        return self.now.window

    def advance(self, steps: int) -> None:
        """Take up to so many steps, through the end of a stage, too."""
        left = min(steps, self.steps - self.step)
        while left > 0 and not self.diverged:
            taken = min(left, self.now.steps - self.now.step)
            self.now.advance(taken)
            left -= taken
            self._go_over()

    # What loops and reports read of the stage that goes on -----------------------------------

    @property
    def task(self) -> Any:
        """The task."""
        return self.source.task

    @property
    def model(self) -> Any:
        """The network, as it is now."""
        return self.now.model

    @property
    def controller(self) -> LRController:
        """What drives the optimizer now."""
        return self.now.controller

    @property
    def device(self) -> Any:
        """Where the network is."""
        return self.now.device

    @property
    def interval(self) -> Interval:
        """Steps between decisions."""
        return self.source.interval

    @property
    def objective(self) -> Objective:
        """What the network's outputs mean."""
        return self.source.objective

    @property
    def last_loss(self) -> float:
        """Mean loss of the last steps."""
        return self.now.last_loss

    @property
    def last_proxy_kl(self) -> float:
        """Mean proxy KL of the last steps, on source images."""
        return self.now.last_proxy_kl

    def scores(self, split: str) -> dict[str, float]:
        """Return the metrics on a split, as `FineTune.scores`."""
        return self.now.scores(split)

    def proxy_scores(self) -> dict[str, float]:
        """Return what is kept of the pretraining."""
        return self.now.proxy_scores()

    def outputs(self, split: str) -> Iterator[Outputs]:
        """Yield outputs, labels and features of a split's batches."""
        return self.now.outputs(split)

    def label_free_scores(self) -> dict[str, float]:
        """Return the scores by which a network is chosen without labels of the target."""
        return label_free(self.now)

    @property
    def base_schedule(self) -> StagedFineTune:
        """What has the factor on the first stage's base learning rate: this."""
        return self

    def factor(self, step: int) -> float:
        """Return the factor on the first stage's base learning rate at a step, counted from 0."""
        first = self.source.steps
        if step < first:
            return self.source.base_schedule.factor(step)
        ratio = self._base_lr[1] / self._base_lr[0]
        if self.second is None:
            return ratio
        return ratio * self.second.base_schedule.factor(min(step - first, self._steps))

    def history(self) -> list[tuple[int, list[float]]]:
        """Return step and multipliers of each decision, steps counted through both stages."""
        rows = len(self.source.controller.groups) + len(self.source.controller.guidance)
        found = decisions(self.source)
        if self.second is not None:
            for step, own in decisions(self.second):
                fitting = (own + [float("nan")] * rows)[:rows]
                found.append((self.source.steps + step, fitting))
        return found

    # State -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on, in whatever stage."""
        if self.second is None:
            return {"stage": 0, "source": self.source.state_dict()}
        return {
            "stage": 1,
            "second": self.second.state_dict(),
            "start": self._start,
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of a fine-tune with the same arguments."""
        if state["stage"] == 0:
            self.source.load_state_dict(state["source"])
            self._go_over()
            return
        self._start, self.rounds = dict(state["start"]), list(state["rounds"])
        self.source.step = self.source.steps
        self.source.model.load_state_dict(self._start)
        self.second = self._begin(self._start, self._tell)
        self.second.load_state_dict(state["second"])


Run = FineTune | StagedFineTune
"""A fine-tune of one stage or of two."""


def decisions(run: FineTune) -> list[tuple[int, list[float]]]:
    """Return step and multipliers of each decision of a stage."""
    return [(record.step, list(record.multipliers)) for record in run.controller.history]


def history_of(run: Run) -> list[tuple[int, list[float]]]:
    """Return step and multipliers of each decision of a fine-tune."""
    return run.history() if isinstance(run, StagedFineTune) else decisions(run)


def label_free(run: FineTune) -> dict[str, float]:
    """Return the scores of `l2o.adaptation.LABEL_FREE` of a network as it is now, by name.

    Raises:
        ValueError: the task has no unlabelled images.
    """
    task = run.task
    if task.target_train is None:
        raise ValueError(
            f"task {task.name!r} has no unlabelled images to choose a network by; give it some, or "
            "take select=source_validation"
        )
    target, source = (
        predictions(data, run.model, run.scoring, task.loading, run.device)
        for data in (task.target_train.still, task.source_validation)
    )
    return label_free_scores(target, source, run.objective)
