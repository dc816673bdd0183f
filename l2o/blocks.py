"""What is a block: a module of several layers that a model repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

Classes = Counter[type[nn.Module]]
"""How often a model holds a class of modules that have children."""


def count_classes(model: nn.Module, without: Set[int] = frozenset()) -> Classes:
    """Count the classes of modules with children, less those whose parameters are all `without`."""
    return Counter(
        type(module)
        for module in model.modules()
        if next(module.children(), None) and not all(id(p) in without for p in module.parameters())
    )


def is_repeated_block(module: nn.Module, classes: Classes) -> bool:
    """Say whether it is a residual block, a transformer layer, a stage: repeated, of many layers.

    A convolution with its norm, which many models repeat, too, is one layer.
    """
    return (
        classes[type(module)] > 1
        and not isinstance(module, CONTAINERS)
        and sum(map(has_matrix, module.modules())) > 1
    )


def holds_blocks(module: nn.Module, classes: Classes) -> bool:
    """Say whether a direct child is a list of like blocks, as in a stage or an encoder."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            members = [m for m in child if has_parameters(m)]
            like = len({type(m) for m in members}) == 1
            if like and all(is_repeated_block(m, classes) for m in members):
                return True
    return False


def has_matrix(module: nn.Module) -> bool:
    """Say whether a parameter of the module's own has two dimensions or more."""
    return any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))


def has_parameters(module: nn.Module) -> bool:
    """Say whether a module or anything in it has a parameter."""
    return next(module.parameters(), None) is not None
