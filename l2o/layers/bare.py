"""Models without layers: parameters that lie bare on a module, or in lists and dicts."""

from __future__ import annotations

from torch import nn

from l2o.layers.walk import CONTAINERS, Groups, Named, class_of, modules_of, own_parameters

_LISTS = (nn.ParameterList, nn.ParameterDict)


def is_bare(model: nn.Module) -> bool:
    """Say whether a model's parameters, several matrices among them, belong to no layers.

    A model that is one of torch's layers, or has one matrix only, is one layer.

    Example:
        >>> is_bare(nn.ParameterList([torch.ones(4, 2), torch.ones(3, 4)])), is_bare(nn.GRU(2, 2))
        (True, False)
    """
    owners = 0
    for module in modules_of(model):
        if own_parameters(module) and not isinstance(module, _LISTS):
            owners += 1
            if owners > 1 or _is_layer_of_torch(module):
                return False
    return sum(parameter.dim() > 1 for parameter in model.parameters()) > 1


def split_at_matrices(named: Named) -> Groups:
    """Make a layer of each matrix; vectors go with the matrix before, the first with the next.

    Example:
        >>> named = [(name, nn.Parameter(torch.ones(size))) for name, size in
        ...          [("scale", 2), ("first", (4, 2)), ("shift", 4), ("second", (3, 4))]]
        >>> {name: [row[0] for row in rows] for name, rows in split_at_matrices(named).items()}
        {'first': ['scale', 'first', 'shift'], 'second': ['second']}
    """
    layers: Groups = {}
    first: Named = []
    for name, parameter in named:
        if parameter.dim() > 1:
            layers[name] = [*first, (name, parameter)]
            first = []
        elif layers:
            layers[next(reversed(layers))].append((name, parameter))
        else:
            first.append((name, parameter))
    return layers or ({first[0][0]: first} if first else {})


def _is_layer_of_torch(module: nn.Module) -> bool:
    """Say whether its class is a layer of torch's, or made from one: weight and bias, an LSTM."""
    return any(
        base.__module__.startswith("torch.nn.") and base is not nn.Module and base not in CONTAINERS
        for base in class_of(module).__mro__
    )
