"""Finding the head of a model."""

from __future__ import annotations

from torch import nn

from l2o.blocks import count_classes, has_matrix, has_parameters, is_repeated_block
from l2o.registry import unknown_name

# fmt: off
HEAD_NAMES = frozenset({
    "head", "heads", "classifier", "fc", "lm_head", "score", "output", "out", "logits", "cls",
    "last_linear", "qa_outputs", "decode_head", "classification_head", "prediction_head",
    "new_head",
})
# fmt: on


def split_head(model: nn.Module, head: nn.Module | str | None) -> tuple[str, set[int]]:
    """Return the head's name and the ids of the parameters that belong to it."""
    modules = _find_head(model) if head is None else [_given_head(model, head)]
    if not modules:
        return "head", set()
    inside = {id(p) for module in modules for p in module.parameters()}
    if head is not None and not any(p.requires_grad for m in modules for p in m.parameters()):
        raise ValueError(
            f"the head {_dotted_name(model, modules[0])!r} has no trainable parameters; "
            "give another head, or set requires_grad_(True) on its parameters"
        )
    within = {id(module) for top in modules for module in top.modules()}
    elsewhere = {
        id(p)
        for module in model.modules()
        if id(module) not in within
        for p in module.parameters(recurse=False)
    }
    own = inside - elsewhere
    return _dotted_name(model, modules[0]) or "head", own or inside


def _given_head(model: nn.Module, head: nn.Module | str) -> nn.Module:
    names = {name: module for name, module in model.named_modules() if name}
    if isinstance(head, str):
        if head not in names:
            raise ValueError(unknown_name("head", head, names))
        return names[head]
    if not any(module is head for module in names.values()) and head is not model:
        raise ValueError(
            f"the head given, a {type(head).__name__}, is no module of the model; "
            "give one of its modules, or the dotted name of one"
        )
    return head


def _find_head(model: nn.Module) -> list[nn.Module]:
    if callable(classifier := getattr(model, "get_classifier", None)):
        found = classifier()
        many = found if isinstance(found, tuple | list) else [found]
        heads = [m for m in many if isinstance(m, nn.Module) and has_parameters(m)]
        if heads:
            return heads
    children = [(name, child) for name, child in model.named_children() if has_parameters(child)]
    known = [child for name, child in children if name in HEAD_NAMES]
    if known and len(children) > 1:
        return known[-1:]
    if len(children) == 1 and not list(model.parameters(recurse=False)):
        return _find_head(children[0][1])
    return _last_layer(model)


def _last_layer(model: nn.Module) -> list[nn.Module]:
    """Return the last layer with a matrix, unless a block ends the model: then it has no head."""
    layers = [m for m in model.modules() if has_matrix(m)]
    classes = count_classes(model)
    for block in model.modules():
        if is_repeated_block(block, classes) and any(m is layers[-1] for m in block.modules()):
            return []
    return layers[-1:] or [m for m in model.modules() if list(m.parameters(recurse=False))][-1:]


def _dotted_name(model: nn.Module, module: nn.Module) -> str:
    return next((name for name, found in model.named_modules() if found is module), "")
