"""Walking through a model's modules, where a layer is one thing however it is put together."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from l2o.layers.adapters import is_adapted

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

Named = list[tuple[str, nn.Parameter]]
"""Parameters with their dotted names."""

Groups = dict[str, Named]
"""Group name -> its parameters, ordered from input to head."""


def class_of(module: nn.Module) -> type[nn.Module]:
    """Return a module's class; parametrized ones have a class each, which hides that of before."""
    found: type[nn.Module] = type_before_parametrizations(module)
    return found


def children_of(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the children that are layers, or hold some, with their names.

    What holds the tensors of a parametrized weight is no layer, nor are the parts of a layer with
    an adapter: they are the layer's own.
    """
    if is_adapted(module):
        return []
    hidden = _parametrizations(module)
    return [(name, child) for name, child in module.named_children() if child is not hidden]


def modules_of(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the model, then all modules in it that are layers or hold some, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield module
            waiting.extend(child for _, child in reversed(children_of(module)))


def own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a module that are not those of its children."""
    if is_adapted(module):
        return list(module.parameters())
    hidden = _parametrizations(module)
    below = [] if hidden is None else list(hidden.parameters())
    return [*module.parameters(recurse=False), *below]


def has_matrix(module: nn.Module) -> bool:
    """Say whether a parameter of the module's own has two dimensions or more."""
    return any(parameter.dim() > 1 for parameter in own_parameters(module))


def has_parameters(module: nn.Module) -> bool:
    """Say whether a module or anything in it has a parameter."""
    return next(module.parameters(), None) is not None


def _parametrizations(module: nn.Module) -> nn.Module | None:
    found = module.parametrizations if is_parametrized(module) else None
    return found if isinstance(found, nn.Module) else None
