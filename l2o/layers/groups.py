"""Layer groups: named parameters that share one multiplier, ordered from input to head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter

from l2o.checks import check_number
from l2o.layers.bare import is_bare
from l2o.layers.heads import split_head
from l2o.layers.matcher import group_by_matcher
from l2o.layers.structure import collect, compile_regex, group_by_structure
from l2o.layers.walk import Groups, Named

GroupBy = str | int | Mapping[str, str] | Callable[[str], str]
"""How parameters are grouped: "auto", a module depth, name -> regex, or parameter name -> group."""

_WRAPPERS = ("module", "_orig_mod")

# More say no more about where a layer lies, but each costs time in every step.
_MOST_GROUPS = 90


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
    normalisation layers join the layer before, class tokens and the like the layer after,
    embeddings side by side are one. Models with timm's `group_matcher` are split as that says.
    Bare parameters of a model without layers are grouped by matrix, vectors with the one before.
    A weight that is parametrized (weight norm, pruning) or has a low-rank adapter is one layer.
    Order is that of registration, the head last. Frozen parameters are left out; a tied weight
    belongs where it appears first (to the head if the head has nothing else). The head is always
    a group of its own.

    Args:
        model: any module; `DataParallel` and `torch.compile` wrappers are looked through, and
            parameter names are those of the module within.
        by: "auto"; an int, the number of leading module names that make a group; a mapping
            group name -> regular expression (`re.search` on the parameter's name, the first match
            wins); or a callable parameter name -> group name.
        head: the head module, its dotted name, or that of a parameter. None finds it:
            `get_classifier()`, else the last direct child with a usual name (head, classifier, fc,
            ...), else the last layer. No group is the head if the head so found is frozen, if
            `get_classifier()` returns none or a repeated block ends the model (a backbone without
            its head), or if it is a guess that `by` cuts through (bare parameters, a single layer).
        max_groups: merge neighbours of the backbone, those of one parent module first, until no
            more groups than this are left. None: 90 for "auto", else all.

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
    _check_parameters(named)
    _check_by(by)
    head_name, head_parameters = split_head(model, head)
    if head is None and _splits_a_guess(model, by, head_parameters):
        head_parameters = set()
    backbone = [(name, p) for name, p in named if id(p) not in head_parameters]
    at_head = [(name, p) for name, p in named if id(p) in head_parameters]
    every = _group_backbone(model, backbone, at_head, by)
    if by == "auto" and max_groups is None:
        # Before frozen ones are left out: groups stay the same when layers are thawed.
        _merge_neighbours(every, _MOST_GROUPS, heads=bool(at_head))
    groups = _only_trainable(every)
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


def _check_parameters(named: Named) -> None:
    if any(isinstance(parameter, UninitializedParameter) for _, parameter in named):
        raise ValueError("the model has lazy parameters without a shape; run one batch first")
    if not any(parameter.requires_grad for _, parameter in named):
        raise ValueError(
            "the model has no trainable parameters; set requires_grad_(True) on those to train"
        )


def _check_by(by: GroupBy) -> None:
    if isinstance(by, bool) or not (isinstance(by, int | Mapping) or callable(by) or by == "auto"):
        raise ValueError(
            f"by must be 'auto', an int, a mapping name -> regex or a callable, got {by!r}"
        )
    if isinstance(by, int) and by < 1:
        raise ValueError(f"by, a module depth, must be 1 or more, got {by}")


def _splits_a_guess(model: nn.Module, by: GroupBy, head: set[int]) -> bool:
    """Say whether the user's groups cut through a head that is no more than a guess.

    It is one where it takes the whole model, or lies among bare parameters: no module says that
    these belong together, and the user says that they do not.
    """
    named = list(model.named_parameters())
    whole = all(id(parameter) in head for _, parameter in named)
    if by == "auto" or not (is_bare(model) or (whole and not isinstance(by, int))):
        return False
    within = {_ask(by, name) for name, parameter in named if id(parameter) in head}
    outside = {_ask(by, name) for name, parameter in named if id(parameter) not in head}
    return len(within) > 1 or bool(within & outside)


def _name_of_head(by: GroupBy, at_head: Named, groups: Groups, default: str) -> str:
    """Return the user's name of the head where there is one, else the module's."""
    name = default
    by_user = callable(by) or isinstance(by, Mapping)
    if by_user:
        chosen = {_ask(by, parameter_name) for parameter_name, _ in at_head}
        only = chosen.pop() if len(chosen) == 1 else None
        if only is not None and only not in groups:
            name = only
    if by_user and at_head and name in groups:
        raise ValueError(
            f"the group {name!r} would hold the head and parameters of the backbone; "
            "name the group otherwise, or say with head=... what the head is"
        )
    while name in groups:  # it shares a weight with the backbone, or timm calls a norm so
        name += ".head"
    return name


def _group_backbone(model: nn.Module, named: Named, at_head: Named, by: GroupBy) -> Groups:
    if by == "auto":
        matcher = getattr(model, "group_matcher", None)
        groups = group_by_matcher(named, matcher()) if callable(matcher) else {}
        return groups or group_by_structure(model, named, {id(p) for _, p in at_head})
    unmatched = [name for name, p in named if p.requires_grad and _ask(by, name) is None]
    if unmatched:
        shown = ", ".join(unmatched[:5]) + (", ..." if len(unmatched) > 5 else "")
        raise ValueError(
            f"{len(unmatched)} parameters match no group: {shown}. "
            "Add a group for them (for instance 'rest': '.*' at the end), or freeze them."
        )
    return collect(named, lambda name: _ask(by, name))


def _ask(by: GroupBy, name: str) -> str | None:
    """Return the user's group of a parameter, None if there is none."""
    if isinstance(by, int):
        return ".".join(name.split(".")[:-1][:by]) or name
    if isinstance(by, Mapping):
        return next((key for key, regex in by.items() if compile_regex(regex).search(name)), None)
    assert callable(by)
    group = by(name)
    if group is not None and not isinstance(group, str):
        raise ValueError(f"by({name!r}) must return the group's name, a str, got {group!r}")
    return group


def _only_trainable(groups: Groups) -> Groups:
    kept = {key: [(n, p) for n, p in rows if p.requires_grad] for key, rows in groups.items()}
    return {key: rows for key, rows in kept.items() if rows}


def _merge_neighbours(groups: Groups, max_groups: int | None, heads: int) -> None:
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


def _finish(groups: Groups, heads: Groups) -> tuple[LayerGroup, ...]:
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
