"""Variants of the teacher: of a group of fine-tunes each tries one, and what did best is taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Preferred = dict[tuple[int, int], NDArray[np.float32]]
"""(group, its how-many-th episode) -> decades to add to the backbone's and the head's rates."""


class Candidates:
    """What the fine-tunes of each group try, and what is preferred in the end.

    Fine-tune j of a group tries candidate j: its rates are the teacher's, moved by some decades,
    others in the backbone than in the head. What is taught afterwards is their mean, weighted by
    how they ended,

        decades = Σ_j w_j · decades_j,   w_j ∝ exp(target accuracy_j / temperature)

    which is smoother than the best of them: an accuracy of some hundred images is off by points.

    Args:
        decades: of each candidate (backbone, head), as many as a group has fine-tunes.
        temperature: in accuracy.
        group: fine-tunes of a group.

    Raises:
        ValueError: another number of candidates than a group has fine-tunes.

    Example:
        >>> tried = Candidates([(0.0, 0.0), (1.0, 0.0)], temperature=0.01, group=2)
        >>> tried.note(0, accuracy=0.5)
        >>> tried.note(1, accuracy=0.7)
        >>> tried.preferred()[0, 0].round(2)
        array([1., 0.], dtype=float32)
    """

    def __init__(
        self, decades: Sequence[tuple[float, float]], temperature: float, group: int
    ) -> None:
        if len(decades) != group:
            raise ValueError(
                f"imitation.candidates has {len(decades)} entries; give one for each of the "
                f"environment.group={group} fine-tunes of a group"
            )
        self.decades = np.array(decades, np.float32)
        self.temperature, self.group = temperature, group
        self._ended: dict[int, list[float]] = {}

    def offsets(self, environments: int) -> NDArray[np.float32]:
        """Return the decades that each of so many environments tries, `[N, 2]`."""
        return np.tile(self.decades, (environments // self.group, 1))

    def note(self, environment: int, accuracy: float) -> None:
        """Note how an environment's next episode has ended."""
        self._ended.setdefault(environment, []).append(accuracy)

    def preferred(self) -> Preferred:
        """Return what is to be taught, of each group and episode that has ended."""
        found: Preferred = {}
        for first in range(0, 1 + max(self._ended, default=-1), self.group):
            members = [self._ended.get(first + place, []) for place in range(self.group)]
            for number, accuracies in enumerate(zip(*members, strict=False)):
                found[first // self.group, number] = self._mean(np.array(accuracies))
        return found

    def _mean(self, accuracies: NDArray[np.float64]) -> NDArray[np.float32]:
        scores = (accuracies - accuracies.max()) / self.temperature
        weights = np.exp(scores) / np.exp(scores).sum()
        mean: NDArray[np.float32] = (weights @ self.decades).astype(np.float32)
        return mean


def moved(actions: Tensor, is_head: Tensor, decades: Tensor, half: float) -> Tensor:
    """Return actions on a log scale, moved by decades.

    Args:
        actions: in [-1, 1], `[N, L]`.
        is_head: `[N, L]`, 1 for the head.
        decades: `[N, 2]`, the backbone's and the head's.
        half: decades that an action of 1 is away from the middle of the range.

    Example:
        >>> moved(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, -2.0]]), 4.0)
        tensor([[ 0.2500, -0.5000]])
    """
    own = torch.where(is_head > 0, decades[:, 1:], decades[:, :1])
    return (actions + own / half).clamp(-1.0, 1.0)
