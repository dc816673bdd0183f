"""Layer groups: named parameters that share one multiplier, ordered from input to head."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter

from l2o.checks import check_number
from l2o.registry import unknown_name

GroupBy = str | int | Mapping[str, str] | Callable[[str], str]
"""How parameters are grouped: "auto", a module depth, name -> regex, or parameter name -> group."""

# fmt: off
HEAD_NAMES = frozenset({
    "head", "heads", "classifier", "fc", "lm_head", "score", "output", "out", "logits", "cls",
    "last_linear", "qa_outputs", "classification_head", "prediction_head", "new_head",
})
# fmt: on
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WRAPPERS = ("module", "_orig_mod")
_Named = list[tuple[str, nn.Parameter]]
_Groups = dict[str, _Named]


@dataclass(frozen=True)
class LayerGroup:
    """Parameters that share one multiplier.

    Attributes:
        name: unique among the groups of a model; usually the module's dotted name.
        parameter_names: dotted names, in the model's order.
        parameters: the parameters of these names; each in exactly one group of its model.
        depth: 0 at the input, 1 at the head, even steps between.
        is_head: whether this is the head; at most one group is.
    """

    name: str
    parameter_names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    depth: float
    is_head: bool


def group_layers(
    model: nn.Module,
    by: GroupBy = "auto",
    head: nn.Module | str | None = None,
    max_groups: int | None = None,
) -> tuple[LayerGroup, ...]:
    """Split the trainable parameters of a model into layer groups, ordered from input to head.

    "auto" makes one group of each residual or repeated block and of each layer outside them;
    normalisation layers join the layer before, class tokens and the like the layer after. Models
    with timm's `group_matcher` are split as that says. Order is that of registration, the
    head last. Frozen parameters are left out; a tied weight belongs where it
    appears first (to the head if the head has nothing else). The head is always a group of its own.

    Args:
        model: any module; `DataParallel` and `torch.compile` wrappers are looked through, and
            parameter names are those of the module within.
        by: "auto"; an int, the number of leading module names that make a group; a mapping
            group name -> regular expression (`re.search` on the parameter's name, the first match
            wins); or a callable parameter name -> group name.
        head: the head module or its dotted name. None finds it: `get_classifier()`, else the last
            direct child with a usual name (head, classifier, fc, ...), else the last layer. If the
            head so found is frozen, no group is the head.
        max_groups: merge neighbours of the backbone, those of one parent module first, until no
            more groups than this are left.

    Raises:
        ValueError: nothing is trainable, the given head does not exist or is frozen, a regular
            expression is broken, a parameter matches no group, or `max_groups` is too small.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> [(group.name, group.depth, group.is_head) for group in group_layers(model)]
        [('0', 0.0, False), ('2', 1.0, True)]
    """
    model = _unwrap(model)
    named = list(model.named_parameters())
    if any(isinstance(parameter, UninitializedParameter) for _, parameter in named):
        raise ValueError("the model has lazy parameters without a shape; run one batch first")
    if not any(parameter.requires_grad for _, parameter in named):
        raise ValueError(
            "the model has no trainable parameters; set requires_grad_(True) on those to train"
        )
    head_name, head_parameters = _split_head(model, head)
    backbone = [(name, p) for name, p in named if id(p) not in head_parameters]
    at_head = [(name, p) for name, p in named if id(p) in head_parameters]
    groups = _only_trainable(_group_backbone(model, backbone, at_head, by))
    heads = _only_trainable({_name_of_head(by, at_head, groups, head_name): at_head})
    _merge_neighbours(groups, max_groups, len(heads))
    return _finish(groups, heads)


def param_groups(
    groups: Iterable[LayerGroup],
    base_lr: float,
    weight_decay: float | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return one torch param group per layer group, with `name` set.

    Args:
        groups: what `group_layers` returns.
        base_lr: the learning rate of every group, before multipliers.
        weight_decay: of every group; None leaves it to the optimizer.
        **options: whatever else the optimizer takes per group (`momentum`, `betas`, ...).

    Raises:
        ValueError: a negative or non-finite learning rate or weight decay.

    Example:
        >>> groups = group_layers(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)))
        >>> optimizer = torch.optim.SGD(param_groups(groups, base_lr=0.1), momentum=0.9)
        >>> [group["name"] for group in optimizer.param_groups]
        ['0', '1']
    """
    check_number("base_lr", base_lr)
    if weight_decay is not None:
        check_number("weight_decay", weight_decay)
        options["weight_decay"] = weight_decay
    return [
        {"params": list(group.parameters), "name": group.name, "lr": base_lr, **options}
        for group in groups
    ]


def _unwrap(model: nn.Module) -> nn.Module:
    children = dict(model.named_children())
    if len(children) == 1 and (name := next(iter(children))) in _WRAPPERS:
        return _unwrap(children[name])
    return model


# ---------------------------------------------------------------------------------- the head


def _split_head(model: nn.Module, head: nn.Module | str | None) -> tuple[str, set[int]]:
    """Return the head's name and the ids of the parameters that belong to it."""
    modules = _find_head(model) if head is None else [_given_head(model, head)]
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
        heads = [m for m in many if isinstance(m, nn.Module) and _has_parameters(m)]
        if heads:
            return heads
    children = [(name, child) for name, child in model.named_children() if _has_parameters(child)]
    known = [child for name, child in children if name in HEAD_NAMES]
    if known and len(children) > 1:
        return known[-1:]
    return [m for m in model.modules() if list(m.parameters(recurse=False))][-1:]


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _dotted_name(model: nn.Module, module: nn.Module) -> str:
    return next((name for name, found in model.named_modules() if found is module), "")


def _name_of_head(by: GroupBy, at_head: _Named, groups: _Groups, default: str) -> str:
    """Return the user's name of the head where there is one, else the module's."""
    name = default
    if callable(by) or isinstance(by, Mapping):
        chosen = {_ask(by, parameter_name) for parameter_name, _ in at_head}
        only = chosen.pop() if len(chosen) == 1 else None
        if only is not None and only not in groups:
            name = only
    if name in groups:
        raise ValueError(
            f"the group {name!r} would hold the head and parameters of the backbone; "
            "name the group otherwise, or say with head=... what the head is"
        )
    return name


# ------------------------------------------------------------------------------ the backbone


def _group_backbone(model: nn.Module, named: _Named, at_head: _Named, by: GroupBy) -> _Groups:
    if isinstance(by, bool) or not (isinstance(by, int | Mapping) or callable(by) or by == "auto"):
        raise ValueError(
            f"by must be 'auto', an int, a mapping name -> regex or a callable, got {by!r}"
        )
    if isinstance(by, int):
        if by < 1:
            raise ValueError(f"by, a module depth, must be 1 or more, got {by}")
        return _collect(named, lambda name: ".".join(name.split(".")[:-1][:by]) or name)
    if by == "auto":
        if callable(matcher := getattr(model, "group_matcher", None)):
            return _group_by_matcher(named, matcher())
        return _group_by_structure(model, named, {id(p) for _, p in at_head})
    unmatched = [name for name, p in named if p.requires_grad and _ask(by, name) is None]
    if unmatched:
        shown = ", ".join(unmatched[:5]) + (", ..." if len(unmatched) > 5 else "")
        raise ValueError(
            f"{len(unmatched)} parameters match no group: {shown}. "
            "Add a group for them (for instance 'rest': '.*' at the end), or freeze them."
        )
    return _collect(named, lambda name: _ask(by, name))


def _ask(by: GroupBy, name: str) -> str | None:
    """Return the user's group of a parameter, None if there is none."""
    if isinstance(by, Mapping):
        return next((key for key, regex in by.items() if _compile(regex).search(name)), None)
    assert callable(by)
    group = by(name)
    if group is not None and not isinstance(group, str):
        raise ValueError(f"by({name!r}) must return the group's name, a str, got {group!r}")
    return group


def _compile(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{regex!r} is no regular expression: {error}; "
            r"a dot in a name reads '\.', and a prefix is matched by '^layer1\.'"
        ) from error


def _collect(named: _Named, key: Callable[[str], str | None]) -> _Groups:
    groups: _Groups = {}
    for name, parameter in named:
        if (group := key(name)) is not None:
            groups.setdefault(group, []).append((name, parameter))
    return groups


def _group_by_matcher(named: _Named, matcher: Any) -> _Groups:
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
            specs.append((order, label, _compile(regex), ends))
    keyed: dict[tuple[float, ...], tuple[str, _Named]] = {}
    for name, parameter in named:
        key, label = _match(name, specs)
        keyed.setdefault(key, (label, []))[1].append((name, parameter))
    groups: _Groups = {}
    for key, (label, members) in sorted(keyed.items(), key=lambda item: item[0]):
        if key[-1] >= _WITH_THE_LAST and groups:
            groups[next(reversed(groups))].extend(members)
        else:
            groups.setdefault(label, []).extend(members)
    return groups


_WITH_THE_LAST = 99999.0


def _match(
    name: str, specs: Sequence[tuple[int, str, re.Pattern[str], tuple[float, ...]]]
) -> tuple[tuple[float, ...], str]:
    for order, label, pattern, suffix in specs:
        if found := pattern.match(name):
            numbers = [part for part in found.groups() if part is not None and part.isdigit()]
            key = (float(order), *map(float, numbers), *map(float, suffix))
            return key, ".".join([label, *numbers])
    return (float("inf"),), "rest"


def _group_by_structure(model: nn.Module, named: _Named, head: set[int]) -> _Groups:
    """Open wrappers, containers and one-off modules; what stays closed is a group."""
    classes = Counter(
        type(module)
        for module in model.modules()
        if next(module.children(), None) and not all(id(p) in head for p in module.parameters())
    )
    owners: dict[int, str] = {}
    for path, module in _closed_modules(model, "", classes):
        for parameter in module.parameters():
            owners.setdefault(id(parameter), path)
    groups: _Groups = {}
    waiting: _Named = []
    for name, parameter in named:
        owner = owners.get(id(parameter))
        if owner is None:
            waiting.append((name, parameter))
            continue
        groups.setdefault(owner, []).extend([*waiting, (name, parameter)])
        waiting = []
    groups = _attach_norms(groups)
    if waiting:
        groups.setdefault(next(reversed(groups), "parameters"), []).extend(waiting)
    return groups


def _closed_modules(
    module: nn.Module, path: str, classes: Counter[type[nn.Module]]
) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if not _has_parameters(child):
            continue
        below = f"{path}.{name}" if path else name
        if _opens(child, classes):
            yield from _closed_modules(child, below, classes)
        else:
            yield below, child


def _opens(module: nn.Module, classes: Counter[type[nn.Module]]) -> bool:
    children = list(module.children())
    if not any(_has_parameters(child) for child in children):
        return False
    if isinstance(module, _CONTAINERS) or len(children) == 1:
        return True
    if classes[type(module)] > 1:  # a residual block, a transformer layer
        return False
    # Tables of embeddings are looked up side by side, not in sequence: one group.
    embeds = any(isinstance(m, nn.Embedding) for m in module.modules())
    blocks = any(
        classes[type(m)] > 1 and not isinstance(m, _CONTAINERS)
        for m in module.modules()
        if m is not module
    )
    return blocks or not embeds


def _attach_norms(groups: _Groups) -> _Groups:
    """Give groups without a matrix (norms, scales) to the group before, the first to the next."""
    attached: _Groups = {}
    first: _Named = []
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


# ------------------------------------------------------------------------- merging, finishing


def _only_trainable(groups: _Groups) -> _Groups:
    kept = {key: [(n, p) for n, p in rows if p.requires_grad] for key, rows in groups.items()}
    return {key: rows for key, rows in kept.items() if rows}


def _merge_neighbours(groups: _Groups, max_groups: int | None, heads: int) -> None:
    if max_groups is None:
        return
    least = heads + bool(groups)
    if max_groups < least:
        raise ValueError(
            f"max_groups={max_groups} is too small: head and backbone are never merged, "
            f"so this model needs at least {least}"
        )
    paths = [[key] for key in groups]
    while len(paths) + heads > max_groups:
        # Neighbours that share the most of their path first, of those the fewest layers.
        spot = min(
            range(len(paths) - 1),
            key=lambda i: (
                -len(_common([*paths[i], *paths[i + 1]])),
                len(paths[i]) + len(paths[i + 1]),
            ),
        )
        paths[spot : spot + 2] = [paths[spot] + paths[spot + 1]]
    merged = {
        _joint_name(keys, list(groups)): [row for key in keys for row in groups[key]]
        for keys in paths
    }
    groups.clear()
    groups.update(merged)


def _common(paths: Sequence[str]) -> list[str]:
    first, *others = (path.split(".") for path in paths)
    length = 0
    while all(other[: length + 1] == first[: length + 1] for other in others):
        length += 1
        if length >= len(first):
            break
    return first[:length]


def _joint_name(keys: Sequence[str], every: Sequence[str]) -> str:
    if len(keys) == 1:
        return keys[0]
    parent = ".".join(_common(keys))
    if (
        parent
        and parent not in every
        and len(keys) == sum(key.startswith(parent + ".") for key in every)
    ):
        return parent
    return f"{keys[0]}..{keys[-1]}"


def _finish(groups: _Groups, heads: _Groups) -> tuple[LayerGroup, ...]:
    rows = [(name, members, False) for name, members in groups.items()]
    rows += [(name, members, True) for name, members in heads.items()]
    last = len(rows) - 1
    return tuple(
        LayerGroup(
            name=name,
            parameter_names=tuple(parameter_name for parameter_name, _ in members),
            parameters=tuple(parameter for _, parameter in members),
            depth=rank / last if last else float(is_head),
            is_head=is_head,
        )
        for rank, (name, members, is_head) in enumerate(rows)
    )
