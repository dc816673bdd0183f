"""Layers with a low-rank adapter: a base layer and two small matrices, in one module."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, permutations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

_WORDS = ("lora", "adapter", "adapted")
_BASES = ("base", "orig")


def is_adapted(module: nn.Module) -> bool:
    """Say whether a module is one layer W with a low-rank adapter: W x + B A x.

    Such a module has a child `base_layer` (as in peft), or it holds nothing but a child's W [o, i],
    A [r, i] and B [o, r], either of the two transposed or not, and at most a bias and a scale.
    Three plain layers may have such shapes, too. So r is smaller than i, and than o where A and B
    are not bare parameters, unless names speak of an adapter or a base.

    Example:
        >>> wrapper = nn.Module()
        >>> wrapper.base_layer, wrapper.lora_A = nn.Linear(4, 4), nn.Linear(4, 1)
        >>> is_adapted(wrapper), is_adapted(wrapper.base_layer)
        (True, False)
    """
    if next(module.children(), None) is None:
        return False
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return False
    base = getattr(module, "base_layer", None)
    if isinstance(base, nn.Module) and any(p.dim() > 1 for p in base.parameters()):
        return True
    # No more are looked at than tell: this is asked of every module, and most hold many.
    if len(list(islice(module.children(), 5))) > 4 or is_parametrized(module):
        return False
    named = list(islice(module.named_parameters(), 6))
    matrices = [(name, p) for name, p in named if p.dim() > 1]
    if len(matrices) != 3 or len(named) > 5:
        return False
    spoken = (type(module).__name__ + "".join(name for name, _ in named)).lower()
    told = any(word in spoken for word in _WORDS)
    beside = sum("." not in name for name, _ in matrices) == 2
    for (name, w), (_, a), (_, b) in permutations(matrices):
        rank = _rank(w.shape, a.shape, b.shape)
        named_so = told or name.startswith(_BASES)
        most = rank if named_so else w.shape[-1] - 1 if beside else min(w.shape) - 1
        if "." in name and 0 < rank <= most:
            return True
    return False


def _rank(w: Sequence[int], a: Sequence[int], b: Sequence[int]) -> int:
    """Return r if B A has the shape of W, whichever way the two are stored, else 0."""
    if not len(w) == len(a) == len(b) == 2:
        return 0
    ranks = [rank for rank in a if sorted(a) == sorted((rank, w[1]))]
    return min((rank for rank in ranks if sorted(b) == sorted((rank, w[0]))), default=0)
