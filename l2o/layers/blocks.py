"""What is a block: a module of several layers that a model repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from itertools import islice

from torch import nn

from l2o.layers.walk import (
    CONTAINERS,
    children_of,
    class_of,
    has_matrix,
    has_parameters,
    modules_of,
)

Classes = Counter[type[nn.Module]]
"""How often a model holds a class of modules that have children."""


def count_classes(model: nn.Module, without: Set[int] = frozenset()) -> Classes:
    """Count the classes of modules with children, less those whose parameters are all `without`."""
    return Counter(
        class_of(module)
        for module in modules_of(model)
        if children_of(module) and not all(id(p) in without for p in module.parameters())
    )


def is_repeated_block(module: nn.Module, classes: Classes) -> bool:
    """Say whether it is a residual block, a transformer layer, a stage: repeated, of many layers.

    A convolution with its norm, which many models repeat, too, is one layer.
    """
    return (
        classes[class_of(module)] > 1
        and not isinstance(module, CONTAINERS)
        and len(list(islice(filter(has_matrix, modules_of(module)), 2))) > 1
    )


def holds_blocks(module: nn.Module, classes: Classes) -> bool:
    """Say whether a direct child is a list of like blocks, as in a stage or an encoder."""
    for _, child in children_of(module):
        if isinstance(child, nn.Sequential | nn.ModuleList):
            members = [m for m in child if has_parameters(m)]
            like = len({class_of(m) for m in members}) == 1
            if like and all(is_repeated_block(m, classes) for m in members):
                return True
    return False
