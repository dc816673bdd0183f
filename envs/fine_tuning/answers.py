"""What the frozen network answers to images that are read anew in every epoch, kept by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

LARGEST = 2 << 30
"""Bytes of answers that are kept; a data set with more of them is answered anew in each step."""
SAVED = 64 << 20
"""Bytes of answers that a checkpoint holds."""


class Answers:
    """Keeps the frozen network's logits of a data set, on the host, from the first time on.

    They are those of the batch that an image came in first. In another one the last bit may be
    another, which depends on the processor; so checkpoints hold them, up to `SAVED` bytes.

    Args:
        examples: of the data set.
    """

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._known = torch.zeros(examples, dtype=torch.bool)
        self._kept: Tensor | None = None
        self._full = False

    def of(self, index: Tensor, answer: Callable[[], Tensor]) -> Tensor:
        """Return the logits of a batch of images, asking for them only if some are not known.

        Args:
            index: numbers of the images `[B]`.
            answer: runs the frozen network on them.
        """
        if self._kept is not None and bool(self._known[index].all()):
            return self._kept[index]
        logits = answer()
        if self._kept is None and not self._full:
            size = self._examples * logits[0].numel() * logits.element_size()
            self._full = size > LARGEST
            if not self._full:
                self._kept = torch.empty(self._examples, *logits.shape[1:], dtype=logits.dtype)
        if self._kept is not None:
            self._kept[index] = logits.detach().to("cpu")
            self._known[index] = True
        return logits

    def state_dict(self) -> dict[str, Any]:
        """Return what is known so far; nothing where it is too much for a checkpoint."""
        if self._kept is None or self._kept.nbytes > SAVED:
            return {}
        return {"known": self._known.clone(), "kept": self._kept[self._known]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`; what is not in it, or is of other data, is answered anew."""
        if len(state.get("known", ())) != self._examples:
            return
        self._known, kept = state["known"].clone(), state["kept"]
        self._kept = torch.empty(self._examples, *kept.shape[1:], dtype=kept.dtype)
        self._kept[self._known] = kept
