"""Grouping parameters by what a model looks like: by its modules, and the order they come in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from torch import nn

from l2o.layers.bare import is_bare, split_at_matrices
from l2o.layers.blocks import Classes, count_classes, holds_blocks, is_repeated_block
from l2o.layers.walk import (
    CONTAINERS,
    Groups,
    Named,
    children_of,
    class_of,
    has_parameters,
    modules_of,
)


def compile_regex(regex: str) -> re.Pattern[str]:
    """Return the compiled expression; ValueError with a hint if it is broken."""
    try:
        return re.compile(regex)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{regex!r} is no regular expression: {error}; "
            r"a dot in a name reads '\.', and a prefix is matched by '^layer1\.'"
        ) from error


def collect(named: Named, key: Callable[[str], str | None]) -> Groups:
    """Group parameters by what `key` says of their names; None leaves one out."""
    groups: Groups = {}
    for name, parameter in named:
        if (group := key(name)) is not None:
            groups.setdefault(group, []).append((name, parameter))
    return groups


def group_by_structure(model: nn.Module, named: Named, head: set[int]) -> Groups:
    """Open wrappers, containers and one-off modules; what stays closed is a group.

    Where parameters lie bare, each matrix is one.
    """
    if is_bare(model):
        return split_at_matrices(named)
    classes = count_classes(model, without=head)
    owners: dict[int, str] = {}
    for path, module in _closed_modules(model, "", classes):
        for parameter in module.parameters():
            owners.setdefault(id(parameter), path)
    groups: Groups = {}
    waiting: Named = []
    for name, parameter in named:
        owner = owners.get(id(parameter))
        if owner is None:
            waiting.append((name, parameter))
            continue
        groups.setdefault(owner, []).extend([*waiting, (name, parameter)])
        waiting = []
    groups = _attach_norms(_join_embeddings(model, groups))
    if waiting:
        groups.setdefault(next(reversed(groups), "parameters"), []).extend(waiting)
    return groups


def _closed_modules(
    module: nn.Module, path: str, classes: Classes
) -> Iterator[tuple[str, nn.Module]]:
    for name, child in children_of(module):
        if not has_parameters(child):
            continue
        below = f"{path}.{name}" if path else name
        if _opens(child, classes):
            yield from _closed_modules(child, below, classes)
        else:
            yield below, child


def _opens(module: nn.Module, classes: Classes) -> bool:
    children = [child for _, child in children_of(module)]
    if not any(has_parameters(child) for child in children):
        return False
    if isinstance(module, CONTAINERS):
        return True
    if is_repeated_block(module, classes):  # a stage opens, what it repeats does not
        return holds_blocks(module, classes)
    if len(children) == 1 or classes[class_of(module)] > 1:
        return len(children) == 1
    # Tables of embeddings are looked up side by side, not in sequence: one group.
    embeds = any(isinstance(m, nn.Embedding) for m in modules_of(module))
    blocks = any(
        classes[class_of(m)] > 1 and not isinstance(m, CONTAINERS)
        for m in modules_of(module)
        if m is not module
    )
    return blocks or not embeds


def _join_embeddings(model: nn.Module, groups: Groups) -> Groups:
    """Join embeddings that stand side by side in one module (words, positions): one stem."""
    tables = {name for name, m in model.named_modules() if isinstance(m, nn.Embedding)}
    joined: Groups = {}
    run: list[str] = []
    for path, members in groups.items():
        if path in tables and run and path.rpartition(".")[0] == run[0].rpartition(".")[0]:
            name = f"{run[0]}..{run[-1]}" if len(run) > 1 else run[0]
            members = joined.pop(name) + members
            run.append(path)
        else:
            run = [path] if path in tables else []
        joined[f"{run[0]}..{path}" if len(run) > 1 else path] = members
    return joined


def _attach_norms(groups: Groups) -> Groups:
    """Give groups without a matrix (norms, scales) to the group before, the first to the next."""
    attached: Groups = {}
    first: Named = []
    for path, members in groups.items():
        if any(parameter.dim() > 1 for _, parameter in members):
            attached[path] = first + members
            first = []
        elif attached:
            attached[next(reversed(attached))].extend(members)
        else:
            first = first + members
    if first:
        attached[next(iter(groups))] = first
    return attached
