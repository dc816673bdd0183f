"""Layers with a low-rank adapter: a base layer and two small matrices, in one module."""

from __future__ import annotations

from itertools import islice, permutations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

_WORDS = ("lora", "adapter", "base", "orig")


def is_adapted(module: nn.Module) -> bool:
    """Say whether a module is one layer W with a low-rank adapter: W x + B A x.

    Such a module has a child `base_layer` (as in peft), or it holds nothing but a child's W [o, i]
    with or without a bias, A [r, i] and B [o, r], either of the two transposed or not. Three plain
    layers may have such shapes, too: then r is smaller than o and i, or names speak of an adapter.

    Example:
        >>> wrapper = nn.Module()
        >>> wrapper.base_layer, wrapper.lora_A = nn.Linear(4, 4), nn.Linear(4, 1)
        >>> is_adapted(wrapper), is_adapted(wrapper.base_layer)
        (True, False)
    """
    children = dict(module.named_children())
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) or not children:
        return False
    base = children.get("base_layer")
    if base is not None and any(p.dim() > 1 for p in base.parameters()):
        return True
    # No more than five are looked at: most modules hold many.
    named = list(islice(module.named_parameters(), 5))
    matrices = [(name, p) for name, p in named if p.dim() > 1]
    if is_parametrized(module) or len(matrices) != 3 or len(named) > 4:
        return False
    spoken = (type(module).__name__ + "".join(name for name, _ in named)).lower()
    told = any(word in spoken for word in _WORDS) or sum("." not in n for n, _ in matrices) == 2
    return any(
        "." in base_name and _adapts(w.shape, a.shape, b.shape, told)
        for (base_name, w), (_, a), (_, b) in permutations(matrices)
    )


def _adapts(w: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], told: bool) -> bool:
    """Say whether B A has the shape of W, whichever way the two are stored."""
    if not len(w) == len(a) == len(b) == 2:
        return False
    ranks = [rank for rank in a if sorted(a) == sorted((rank, w[1]))]
    ranks = [rank for rank in ranks if sorted(b) == sorted((rank, w[0]))]
    return any(told or rank < min(w) for rank in ranks)
