"""One task tried at several points, in one stack, after one probe that they all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.stacked import StackedFineTune
from l2o.envs.stacked.start import Start
from l2o.networks.relative_update import cosine, relative_multipliers
from l2o.policies.offline.points import Point

FIRST_LR = 1e-4
CHANGE = 10.0

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """What was found on one task.

    Attributes:
        episode: its number: the seed that task, base LR, optimizer and batches were drawn with.
        facts: what was drawn, and the task's name, as plain data.
        seen: observations at the decisions of the probe, the one that ends it included,
            `[T, L, F]`; those of layers that the network has.
        target: accuracy on the two halves of the target's test images at each point, `[2, P]`.
        source: accuracy on the source's validation images at each point, `[P]`.
        proxy: accuracy of the proxy head on the proxy's images at each point, `[P]`.
        diverged: whether the run at a point diverged, `[P]`.
        chance: accuracy of a guess.
        steps: length of each run.
        repeat: 0, or which other seed of head and batches it is that the same task was run with.
    """

    episode: int
    facts: dict[str, Any]
    seen: Array
    target: Array
    source: Array
    proxy: Array
    diverged: NDArray[np.bool_]
    chance: float
    steps: int
    repeat: int = 0

    @property
    def task(self) -> tuple[str, int]:
        """The family and the episode: trials of the same task differ in their seeds alone."""
        return str(self.facts.get("task")), self.episode


class Trier:
    """Tries episodes at all points.

    Args:
        rules: what episodes are drawn from; its signals are what is kept of the probe.
        points: to try.
        probe: how runs begin.
        share: of the training, after which each goes to its point.
    """

    def __init__(
        self, rules: EpisodeRules, points: Sequence[Point], probe: Point, share: float
    ) -> None:
        self.rules, self.points, self.probe, self.share = rules, tuple(points), probe, share
        self._sizes = torch.tensor(self.points, dtype=torch.float32)
        self._probe = torch.tensor(probe, dtype=torch.float32).expand(len(self.points), 2)
        self._stack = StackedFineTune(
            rules.loop,
            len(self.points),
            rules.rows,
            validate=rules.config.validation,
            signals=rules.signals,
            chunk=len(self.points),
        )

    def __call__(self, episode: int, repeat: int = 0) -> Trial:
        """Try one episode, with the seed of head and batches that is `repeat` after its own."""
        drawn = self.rules.draw(np.random.default_rng(episode))
        task = self.rules.sample(drawn["task_seed"])
        start = Start(
            task,
            seed=drawn["seed"] + repeat,
            base_lr=drawn["base_lr"],
            optimizer=self.rules.draws.inner_optimizer(drawn),
            guidance_weights=drawn.get("guidance_weights"),
        )
        stack = self._stack
        stack.reset(dict.fromkeys(range(len(self.points)), start))
        seen = self._run()
        layers = len(stack.starts[0].layout.groups)
        outputs = stack.outputs("target_test", range(len(self.points)))
        hits = [_hits(found.logits, found.labels) for _, found in sorted(outputs.items())]
        scores = stack.evaluate(["source_validation", "proxy_test"])
        facts = {key: value for key, value in drawn.items() if key != "seed"}
        return Trial(
            episode=episode,
            facts={**facts, "task": task.name, **task.description},
            seen=np.stack(seen)[:, :layers],
            target=np.array([[half.mean() for half in (h[::2], h[1::2])] for h in hits]).T,
            source=np.asarray(scores["source_validation"]["accuracy"], np.float32),
            proxy=np.asarray(scores["proxy_test"]["accuracy"], np.float32),
            diverged=stack.diverged.copy(),
            chance=1.0 / task.num_classes,
            steps=int(stack.steps[0]),
            repeat=repeat,
        )

    def _run(self) -> list[Array]:
        """Run to the end; return what was seen in the probe."""
        stack = self._stack
        seen: list[Array] = []
        names = self.rules.signals.names
        while True:
            shown = stack.observation
            probing = bool(stack.step[0] < self.share * stack.steps[0])
            if probing or len(seen) == 0 or not self._ended(seen):
                seen.append(shown[0].numpy().copy())
            columns = dict(zip(names, shown.unbind(dim=-1), strict=True))
            stack.set_multipliers(self._multipliers(columns, probing))
            stack.advance()
            if stack.done.all():
                return seen

    def _ended(self, seen: Sequence[Array]) -> bool:
        """Return whether the newest observation kept is already that which ends the probe."""
        progress = self.rules.signals.index("progress")
        return bool(seen[-1][0, progress] >= self.share)

    def _multipliers(self, columns: dict[str, Tensor], probing: bool) -> Tensor:
        sizes = self._probe if probing else self._sizes
        is_head = columns["is_head"]
        wanted = torch.where(is_head > 0, sizes[:, 1:], sizes[:, :1]) * cosine(columns["progress"])
        return relative_multipliers(columns, wanted, FIRST_LR, CHANGE)


def _hits(logits: Tensor | None, labels: Tensor | None) -> NDArray[np.float64]:
    """Return 1 where an image is classified right, sorted by class so that halves have all."""
    assert logits is not None
    assert labels is not None
    order = labels.argsort(stable=True)
    right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    return right[order].double().numpy()


def to_plain(trial: Trial) -> dict[str, Any]:
    """Return a trial as tensors and plain data, for checkpoints."""
    return {
        each.name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for each in fields(trial)
        for value in (getattr(trial, each.name),)
    }


def from_plain(plain: Mapping[str, Any]) -> Trial:
    """Return the trial that `to_plain` wrote."""
    # Any: what each field is, `to_plain` has seen to.
    told: dict[str, Any] = {
        name: value.numpy() if isinstance(value, Tensor) else value for name, value in plain.items()
    }
    return Trial(**told)
