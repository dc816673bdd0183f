"""What a teacher has shown, as single decisions or as whole episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class Demonstrations(NamedTuple):
    """T decisions in each of N environments, one after the other.

    Attributes:
        seen: observations, `[T, N, L, F]`.
        wanted: the teacher's actions, `[T, N, L]`.
        starts: whether a decision is the first of an episode, `[T, N]`; the first row is.
    """

    seen: Tensor
    wanted: Tensor
    starts: Tensor


def decisions(shown: Sequence[Demonstrations]) -> tuple[Tensor, Tensor]:
    """Return all decisions one by one: observations `[M, L, F]` and actions `[M, L]`."""
    return (
        torch.cat([part.seen.flatten(0, 1) for part in shown]),
        torch.cat([part.wanted.flatten(0, 1) for part in shown]),
    )


def sequences(shown: Sequence[Demonstrations]) -> tuple[Tensor, Tensor]:
    """Return all episodes: observations `[M, T, L, F]` and actions `[M, T, L]`.

    They are padded to the longest with decisions in which no layer is present. An episode that was
    under way at the end of its demonstrations is one, too.

    Example:
        >>> starts = torch.tensor([[True], [False], [True]])
        >>> shown = Demonstrations(torch.ones(3, 1, 2, 4), torch.ones(3, 1, 2), starts)
        >>> seen, wanted = sequences([shown])
        >>> seen.shape, wanted[1, :, 0]
        (torch.Size([2, 2, 2, 4]), tensor([1., 0.]))
    """
    seen: list[Tensor] = []
    wanted: list[Tensor] = []
    for part in shown:
        for number in range(part.starts.shape[1]):
            begun = part.starts[:, number].nonzero().flatten().tolist()
            lengths = np.diff([*begun, len(part.starts)]).tolist()
            seen += part.seen[:, number].split(lengths)
            wanted += part.wanted[:, number].split(lengths)
    return pad_sequence(seen, batch_first=True), pad_sequence(wanted, batch_first=True)
