"""Grouping parameters by what a model looks like: its modules, or what timm says about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from l2o.blocks import (
    CONTAINERS,
    Classes,
    count_classes,
    has_parameters,
    holds_blocks,
    is_repeated_block,
)

Named = list[tuple[str, nn.Parameter]]
"""Parameters with their dotted names."""

Groups = dict[str, Named]
"""Group name -> its parameters, ordered from input to head."""

# timm's mark of parameters that belong with the group before.
_WITH_THE_LAST = 99999.0


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


def group_by_matcher(named: Named, matcher: Any) -> Groups:
    """Group as timm does: the key of a parameter is (spec, numbers in its match, suffix).

    timm's table maps a name to a regex, or to a list of (regex, suffix); a suffix of 99999 says
    "with the group before". What nothing matches (a final norm) goes with the last group.
    """
    table = matcher if isinstance(matcher, Mapping) else {"blocks": matcher}
    specs: list[tuple[int, str, re.Pattern[str], tuple[float, ...]]] = []
    for order, (label, rows) in enumerate(table.items()):
        for row in [rows] if isinstance(rows, str) else rows or []:
            regex, suffix = (row, None) if isinstance(row, str) else row
            ends = (suffix,) if isinstance(suffix, int | float) else tuple(suffix or ())
            specs.append((order, label, compile_regex(regex), ends))
    keyed: dict[tuple[float, ...], tuple[str, Named]] = {}
    for name, parameter in named:
        key, label = _match(name, specs)
        keyed.setdefault(key, (label, []))[1].append((name, parameter))
    groups: Groups = {}
    for key, (label, members) in sorted(keyed.items(), key=lambda item: item[0]):
        if key[-1] >= _WITH_THE_LAST and groups:
            groups[next(reversed(groups))].extend(members)
        else:
            groups.setdefault(label, []).extend(members)
    return groups


def _match(
    name: str, specs: Sequence[tuple[int, str, re.Pattern[str], tuple[float, ...]]]
) -> tuple[tuple[float, ...], str]:
    for order, label, pattern, suffix in specs:
        if found := pattern.match(name):
            numbers = [part for part in found.groups() if part is not None and part.isdigit()]
            key = (*map(float, numbers), *map(float, suffix))
            parts = [f"{part:g}" for part in key if part < _WITH_THE_LAST]
            return (float(order), *key), ".".join([label, *parts])
    return (float("inf"),), "rest"


def group_by_structure(model: nn.Module, named: Named, head: set[int]) -> Groups:
    """Open wrappers, containers and one-off modules; what stays closed is a group."""
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
    for name, child in module.named_children():
        if not has_parameters(child):
            continue
        below = f"{path}.{name}" if path else name
        if _opens(child, classes):
            yield from _closed_modules(child, below, classes)
        else:
            yield below, child


def _opens(module: nn.Module, classes: Classes) -> bool:
    children = list(module.children())
    if not any(has_parameters(child) for child in children):
        return False
    if isinstance(module, CONTAINERS):
        return True
    if is_repeated_block(module, classes):  # a stage opens, what it repeats does not
        return holds_blocks(module, classes)
    if len(children) == 1 or classes[type(module)] > 1:
        return len(children) == 1
    # Tables of embeddings are looked up side by side, not in sequence: one group.
    embeds = any(isinstance(m, nn.Embedding) for m in module.modules())
    blocks = any(
        classes[type(m)] > 1 and not isinstance(m, CONTAINERS)
        for m in module.modules()
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
