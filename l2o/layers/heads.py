"""Finding the head of a model."""

from __future__ import annotations

from torch import nn

from l2o.layers.bare import is_bare, split_at_matrices
from l2o.layers.blocks import count_classes, is_repeated_block
from l2o.layers.walk import (
    CONTAINERS,
    children_of,
    has_matrix,
    has_parameters,
    modules_of,
    own_parameters,
)
from l2o.registry import unknown_name

# fmt: off
HEAD_NAMES = frozenset({
    "head", "heads", "classifier", "fc", "lm_head", "score", "output", "out", "logits", "cls",
    "last_linear", "qa_outputs", "decode_head", "classification_head", "prediction_head",
    "new_head", "roi_heads",
})
# fmt: on


def split_head(model: nn.Module, head: nn.Module | str | None) -> tuple[str, set[int]]:
    """Return the head's name and the ids of the parameters that belong to it."""
    if head is None:
        modules = _told_head(model)
        if modules is None and is_bare(model):
            name, rows = split_at_matrices(list(model.named_parameters())).popitem()
            return name, {id(parameter) for _, parameter in rows}
        return _of_modules(model, _last_layer(model) if modules is None else modules)
    given = _given_head(model, head)
    parameters = [given] if isinstance(given, nn.Parameter) else list(given.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        name = head if isinstance(head, str) else _dotted_name(model, head)
        raise ValueError(
            f"the head {name!r} has no trainable parameters; "
            "give another head, or set requires_grad_(True) on its parameters"
        )
    if isinstance(given, nn.Parameter):
        return str(head), {id(given)}
    return _of_modules(model, [given])


def _of_modules(model: nn.Module, heads: list[nn.Module]) -> tuple[str, set[int]]:
    """Return the name of the first module, and what belongs to all of them and nowhere else."""
    if not heads:
        return "head", set()
    inside = {id(p) for module in heads for p in module.parameters()}
    within = {id(module) for top in heads for module in top.modules()}
    elsewhere = {
        id(p)
        for module in model.modules()
        if id(module) not in within
        for p in module.parameters(recurse=False)
    }
    return _dotted_name(model, heads[0]) or "head", inside - elsewhere or inside


def _given_head(model: nn.Module, head: nn.Module | str) -> nn.Module | nn.Parameter:
    modules = {name: module for name, module in model.named_modules() if name}
    if isinstance(head, str):
        parameters = dict(model.named_parameters(remove_duplicate=False))
        if head not in modules and head not in parameters:
            raise ValueError(unknown_name("head", head, modules or parameters))
        return modules[head] if head in modules else parameters[head]
    if not any(module is head for module in modules.values()) and head is not model:
        raise ValueError(
            f"the head given, a {type(head).__name__}, is no module of the model; "
            "give one of its modules, or the dotted name of one or of a parameter"
        )
    return head


def _told_head(model: nn.Module) -> list[nn.Module] | None:
    """Return the head that the model tells or a name gives away, [] if it tells that it has none.

    None if nothing is told.
    """
    get_classifier = getattr(model, "get_classifier", None)
    if callable(get_classifier):
        found = get_classifier()
        many = found if isinstance(found, tuple | list) else [found]
        heads = [m for m in many if isinstance(m, nn.Module) and has_parameters(m)]
        if heads:
            return heads
    children = [(name, child) for name, child in children_of(model) if has_parameters(child)]
    # A norm that is left of a head which was taken away is none.
    known = [child for name, child in children if name in HEAD_NAMES and _holds_matrix(child)]
    if known and len(children) > 1:
        return known[-1:]
    if callable(get_classifier):
        return []
    if len(children) == 1 and not own_parameters(model):
        return _told_head(children[0][1])
    return None


def _holds_matrix(module: nn.Module) -> bool:
    return any(has_matrix(m) for m in modules_of(module))


def _last_layer(model: nn.Module) -> list[nn.Module]:
    """Return the last layer with a matrix, unless a block ends the model: then it has no head."""
    layers = [m for m in modules_of(model) if has_matrix(m)]
    if not layers:
        return [m for m in modules_of(model) if own_parameters(m)][-1:]
    classes = count_classes(model)
    for block in modules_of(model):
        if is_repeated_block(block, classes) and any(m is layers[-1] for m in modules_of(block)):
            return []
    return [_with_wrapper(model, layers[-1])]


def _with_wrapper(model: nn.Module, layer: nn.Module) -> nn.Module:
    """Return what wraps the layer and adds own parameters (a scale), else the layer itself."""
    for module in modules_of(model):
        layers = [m for m in modules_of(module) if m is not module and has_matrix(m)]
        if (
            own_parameters(module)
            and module is not model
            and not isinstance(module, CONTAINERS)
            and layers == [layer]
        ):
            return module
    return layer


def _dotted_name(model: nn.Module, module: nn.Module) -> str:
    return next((name for name, found in model.named_modules() if found is module), "")
