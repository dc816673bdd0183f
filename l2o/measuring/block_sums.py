"""Sums of squares over tensors on the CPU, in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._utils import _flatten_dense_tensors

BLOCK = 1 << 18
"""Elements per block: a block of weights, its copy and its gradient fit into a few megabytes."""
SMALL = 2048
"""Tensors up to so many elements are laid side by side: calling torch for each costs more."""


class Copies:
    """Memory for one copy of all tensors: small ones side by side, large ones cut into blocks.

    Args:
        like: the tensors.
        small: indices of the small ones.
        large: indices of the large ones.
    """

    def __init__(self, like: Sequence[Tensor], small: Sequence[int], large: Sequence[int]) -> None:
        first = like[0]
        size = sum(like[i].numel() for i in small)
        self.flat = torch.empty(size, dtype=first.dtype, device="cpu")
        views = self.flat.split([like[i].numel() for i in small]) if small else ()
        made = {i: view.view(like[i].shape) for i, view in zip(small, views, strict=True)}
        made |= {i: torch.empty_like(like[i]).detach() for i in large}
        self.tensors = [made.get(i, t.detach()) for i, t in enumerate(like)]
        self.blocks = [block for i in large for block in made[i].view(-1).split(BLOCK)]

    def take(self, tensors: Sequence[Tensor]) -> None:
        """Copy the tensors as they are now."""
        torch._foreach_copy_(self.tensors, list(tensors))


class BlockSums:
    """Reads plain, contiguous tensors of one type.

    Per block everything is read that is asked for, so that each number comes from memory once.

    Args:
        like: the tensors, by whose sizes the work is laid out.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self._small = [i for i, t in enumerate(like) if 0 < t.numel() <= SMALL]
        self._large = [i for i, t in enumerate(like) if t.numel() > SMALL]
        sizes = [like[i].numel() for i in self._small]
        self._small_at = np.cumsum([0, *sizes])[:-1]
        counts = [-(-like[i].numel() // BLOCK) for i in self._large]
        self._large_at = np.cumsum([0, *counts])[:-1]
        dtype = like[0].dtype
        self._sums = torch.zeros(5, sum(counts), dtype=dtype, device="cpu")
        self._slots = [list(row.unbind()) for row in self._sums.unbind()]
        longest = max((like[i].numel() for i in self._large), default=0)
        self._scratch = torch.empty(min(longest, BLOCK), dtype=dtype, device="cpu")
        # In place of gradients that are missing.
        zeros = torch.zeros(max(sizes, default=0), dtype=dtype, device="cpu")
        self._zeros = {i: zeros[:size] for i, size in zip(self._small, sizes, strict=True)}

    def allocate(self, like: Sequence[Tensor]) -> Copies:
        """Return memory for a copy of the tensors."""
        return Copies(like, self._small, self._large)

    def adopt(self, tensors: Sequence[Tensor]) -> Copies:
        """Return copies of these tensors."""
        made = self.allocate(tensors)
        made.take(tensors)
        return made

    def read(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        before: Copies | None,
        start: Copies | None,
    ) -> NDArray[np.float64]:
        """Return `[5, T]`: Σθ², Σg², Σ(b − θ)², Σ g·(b − θ), Σ(θ − θ₀)²; zero where not asked for.

        Args:
            weights: θ.
            gradients: g, None where there is none; empty if they do not count.
            before: b; it is overwritten.
            start: θ₀.
        """
        found = np.zeros((5, len(weights)))
        if self._large:
            self._sums.zero_()
            self._read_large(weights, gradients, before, start)
            found[:, self._large] = np.add.reduceat(
                self._sums.numpy(), self._large_at, axis=1, dtype=np.float64
            )
        if self._small:
            found[:, self._small] = self._read_small(weights, gradients, before, start)
        return found

    def _read_large(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        before: Copies | None,
        start: Copies | None,
    ) -> None:
        of_weights, of_gradients, of_updates, of_dots, of_drifts = self._slots
        k = 0
        for i in self._large:
            gradient = gradients[i] if gradients else None
            slices = None if gradient is None else gradient.view(-1).split(BLOCK)
            for number, weight in enumerate(weights[i].view(-1).split(BLOCK)):
                torch.dot(weight, weight, out=of_weights[k])
                if slices is not None:
                    torch.dot(slices[number], slices[number], out=of_gradients[k])
                if before is not None:
                    moved = before.blocks[k].sub_(weight)
                    torch.dot(moved, moved, out=of_updates[k])
                    if slices is not None:
                        torch.dot(moved, slices[number], out=of_dots[k])
                if start is not None:
                    away = self._scratch[: weight.numel()]
                    torch.sub(weight, start.blocks[k], out=away)
                    torch.dot(away, away, out=of_drifts[k])
                k += 1

    def _read_small(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        before: Copies | None,
        start: Copies | None,
    ) -> NDArray[np.float64]:
        found = np.zeros((5, len(self._small)))

        def add(row: int, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
            found[row] = np.add.reduceat(a * b, self._small_at, dtype=np.float64)

        # Non-finite values are what the guard looks for, no cause for warnings.
        with np.errstate(over="ignore", invalid="ignore"):
            weight = _flatten_dense_tensors([weights[i] for i in self._small]).numpy()
            add(0, weight, weight)
            gradient = None
            if gradients:
                held = [gradients[i] for i in self._small]
                filled = [
                    self._zeros[i] if g is None else g
                    for i, g in zip(self._small, held, strict=True)
                ]
                gradient = _flatten_dense_tensors(filled).numpy()
                add(1, gradient, gradient)
            if before is not None:
                moved = before.flat.numpy() - weight
                add(2, moved, moved)
                if gradient is not None:
                    add(3, moved, gradient)
            if start is not None:
                away = weight - start.flat.numpy()
                add(4, away, away)
        return found
