"""Which part of a module of several networks one of its optimizers trains, now or later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from l2o.control.layout import awake
from l2o.layers.groups import group_layers


class Part(nn.Module):
    """Some children and parameters of a module, under their names."""

    def __init__(self, children: dict[str, nn.Module], parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        # Not by add_module: a name that is fine in a ModuleDict need not be an attribute's.
        self._modules.update(children)
        self._parameters.update(parameters)


def network_of(
    module: nn.Module, optimizer: Optimizer, optimizers: Iterable[Optimizer] = ()
) -> nn.Module:
    """Return what an optimizer trains, or may come to train: all but what belongs to the others.

    Frozen layers may be thawed later and layers that no optimizer holds may be added, so they are
    part of it. Where a single child is left, that is the network: each network has its head.

    Args:
        module: of one network or several.
        optimizer: of whose network.
        optimizers: all that train the module.

    Example:
        >>> import torch
        >>> gan = nn.ModuleDict({"generator": nn.Linear(2, 3), "critic": nn.Linear(3, 1)})
        >>> optimizers = [torch.optim.SGD(network.parameters()) for network in gan.values()]
        >>> network_of(gan, optimizers[1], optimizers)
        Linear(in_features=3, out_features=1, bias=True)
    """
    mine = _held([optimizer])
    others = _held(one for one in optimizers if one is not optimizer) - mine
    every = {name: child for name, child in module.named_children() if _ids(child)}
    children = {name: child for name, child in every.items() if not _ids(child) <= others}
    direct = dict(module.named_parameters(recurse=False))
    parameters = {name: p for name, p in direct.items() if id(p) not in others}
    if len(children) == 1 and not parameters:
        return next(iter(children.values()))
    if len(children) == len(every) and len(parameters) == len(direct):
        return module
    return Part(children, parameters)


def grouping_of(network: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Return the options `by` and `head` that keep what an optimizer may train later out of sight.

    A frozen teacher beside its student must neither hide the student's head nor make the two look
    like blocks of one network. So the children that are trained now are grouped as if they were
    alone, each other one by itself. Nothing is returned where there are no others.

    Args:
        network: what `network_of` returned.
        optimizer: of this network.

    Example:
        >>> import torch
        >>> both = nn.ModuleDict({"student": nn.Linear(2, 3), "teacher": nn.Linear(2, 3)})
        >>> options = grouping_of(both, torch.optim.SGD(both["student"].parameters()))
        >>> options["head"], options["by"]("teacher.weight")
        (Linear(in_features=2, out_features=3, bias=True), 'teacher')
    """
    mine = _held([optimizer])
    children = {name: child for name, child in network.named_children() if _ids(child)}
    active = {name: child for name, child in children.items() if _ids(child) & mine}
    direct = dict(network.named_parameters(recurse=False))
    if len(children) < 2 or len(active) == len(children) or not (active or direct):
        return {}
    with awake(_thawable(network)):
        trained = _grouped(Part(active, direct) if len(active) != 1 or direct else active)
        idle = {name: child for name, child in children.items() if name not in active}
        # What cannot be trained at all, quantized weights say, is in no group.
        others = [_grouped({name: child}) for name, child in idle.items() if _can_train(child)]
    groups = {key: name for found in (trained, *others) for key, (name, _) in found.items()}
    names = {name: groups[id(p)] for name, p in network.named_parameters() if id(p) in groups}
    of_head = {key for key, (_, is_head) in trained.items() if is_head} & mine
    holding = [m for m in network.modules() if of_head and of_head <= _ids(m)]
    head = min(holding, key=lambda m: len(_ids(m)), default=None)
    return {"by": lambda name: names.get(name, name), "head": head}


def _grouped(part: nn.Module | dict[str, nn.Module]) -> dict[int, tuple[str, bool]]:
    """Return each parameter's group, and whether that is the head, by the parameter's id."""
    if isinstance(part, nn.Module):
        prefix, found = "", group_layers(part)
    else:
        ((prefix, child),) = part.items()
        found = group_layers(child)
        if not list(child.children()):  # a layer is called as its parent calls it
            return {id(p): (prefix, g.is_head) for g in found for p in g.parameters}
        prefix += "."
    return {id(p): (prefix + g.name, g.is_head) for g in found for p in g.parameters}


def _thawable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that could be trained, frozen or not."""
    return [p for p in network.parameters() if p.is_floating_point() and not p.is_inference()]


def _held(optimizers: Iterable[Optimizer]) -> set[int]:
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return {id(p) for group in groups for p in group["params"]}


def _can_train(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())


def _ids(module: nn.Module) -> set[int]:
    return {id(p) for p in module.parameters()}
