"""Layer groups where a layer is made of parts: bare, parametrized, adapted or tied parameters."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

import l2o.layers.adapters
import l2o.layers.bare
import l2o.layers.matcher
from l2o.layers.adapters import is_adapted
from l2o.layers.groups import group_layers


def summary(model: nn.Module, **options: object) -> dict[str, str]:
    """Return the groups' names and parameters, a star at the head; check that none is missing."""
    groups = group_layers(model, **options)  # type: ignore[arg-type]
    found = [id(p) for group in groups for p in group.parameters]
    assert sorted(found) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    return {
        group.name + "*" * group.is_head: " ".join(sorted(group.parameter_names))
        for group in groups
    }


class Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.ones(9, 4))
        self.items = nn.Parameter(torch.ones(7, 4))
        self.bias = nn.Parameter(torch.zeros(7))


class Holder(nn.Module):
    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def mlp_in_a_list() -> nn.Module:
    sizes: list[tuple[int, ...]] = [(4, 4), (4,), (2, 4), (2,)]
    return Holder(w=nn.ParameterList([torch.ones(size) for size in sizes]))


def mlp_in_a_dict() -> nn.Module:
    matrices = [("first", torch.ones(4, 4)), ("scale", torch.ones(4)), ("second", torch.ones(2, 4))]
    return Holder(w=nn.ParameterDict(matrices))


def by_name(name: str) -> str:
    return name


BARE = {
    "auto": (Factors, {}, {"users": "users", "items*": "bias items"}),
    "each": (Factors, {"by": by_name}, {"users": "users", "items": "items", "bias": "bias"}),
    "all": (Factors, {"by": {"all": "."}}, {"all": "bias items users"}),
    "as guessed": (
        Factors,
        {"by": {"one": "users", "two": "items|bias"}},
        {"one": "users", "two*": "bias items"},
    ),
    "depth": (Factors, {"by": 1}, {"users": "users", "items": "items", "bias": "bias"}),
    "head": (Factors, {"head": "users"}, {"items": "bias items", "users*": "users"}),
    "head and each": (
        Factors,
        {"by": by_name, "head": "items"},
        {"users": "users", "bias": "bias", "items*": "items"},
    ),
    "head and depth": (
        Factors,
        {"by": 1, "head": "bias"},
        {"users": "users", "items": "items", "bias*": "bias"},
    ),
    "wrapped": (
        lambda: Holder(model=Factors()),
        {},
        {"model.users": "model.users", "model.items*": "model.bias model.items"},
    ),
    "list": (mlp_in_a_list, {}, {"w.0": "w.0 w.1", "w.2*": "w.2 w.3"}),
    "list, depth": (mlp_in_a_list, {"by": 1}, {"w": "w.0 w.1 w.2 w.3"}),
    "list, head": (mlp_in_a_list, {"head": "w.3", "by": 1}, {"w": "w.0 w.1 w.2", "w.3*": "w.3"}),
    "list as head": (mlp_in_a_list, {"head": "w"}, {"w*": "w.0 w.1 w.2 w.3"}),
    "dict": (mlp_in_a_dict, {}, {"w.first": "w.first w.scale", "w.second*": "w.second"}),
    "named": (
        lambda: Holder(body=mlp_in_a_list().w, head=mlp_in_a_list().w),
        {},
        {
            "body.0": "body.0 body.1",
            "body.2": "body.2 body.3",
            "head*": "head.0 head.1 head.2 head.3",
        },
    ),
    "linear": (lambda: nn.Linear(3, 2), {}, {"head*": "bias weight"}),
    "linear, depth": (lambda: nn.Linear(3, 2), {"by": 1}, {"head*": "bias weight"}),
    "linear, all": (lambda: nn.Linear(3, 2), {"by": {"all": "."}}, {"all*": "bias weight"}),
    "linear, each": (
        lambda: nn.Linear(3, 2),
        {"by": by_name},
        {"weight": "weight", "bias": "bias"},
    ),
    "linear, head": (
        lambda: nn.Linear(3, 2),
        {"by": by_name, "head": "weight"},
        {"bias": "bias", "weight*": "weight"},
    ),
    "recurrent": (
        lambda: nn.RNN(2, 2, bias=False),
        {},
        {"head*": "weight_hh_l0 weight_ih_l0"},
    ),
    "vectors": (
        lambda: nn.ParameterList([torch.ones(2), torch.ones(3)]),
        {},
        {"head*": "0 1"},
    ),
}


@pytest.mark.parametrize("case", BARE)
def test_bare_parameters_are_grouped_by_matrix_or_as_the_user_says(case: str) -> None:
    make, options, wanted = BARE[case]
    assert summary(make(), **options) == wanted  # type: ignore[arg-type]


def test_an_unknown_head_names_the_parameters_there_are() -> None:
    with pytest.raises(ValueError, match="Did you mean 'items'"):
        group_layers(Factors(), head="item")
    frozen = Factors()
    frozen.items.requires_grad_(False)
    with pytest.raises(ValueError, match="the head 'items' has no trainable parameters"):
        group_layers(frozen, head="items")


class LowRank(nn.Module):
    def __init__(self, inputs: int, outputs: int, rank: int = 1) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.b @ self.a


def low_rank(layer: nn.Linear) -> nn.Module:
    change = LowRank(layer.in_features, layer.out_features)
    return parametrize.register_parametrization(layer, "weight", change)


def pruned(layer: nn.Linear) -> nn.Module:
    prune.random_unstructured(layer, "bias", 0.5)
    return prune.l1_unstructured(layer, "weight", 0.5)


NORMED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "low rank": low_rank,
    "old weight norm": old_weight_norm,
    "old spectral norm": old_spectral_norm,
    "pruning": pruned,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", NORMED)
@pytest.mark.parametrize("options", [{}, {"by": 1}, {"head": "4"}], ids=str)
def test_a_parametrized_layer_is_one(kind: str, options: dict[str, object]) -> None:
    make = NORMED[kind]
    layers = [make(nn.Linear(*sizes)) for sizes in ((4, 8), (8, 8), (8, 2))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    names = [name for name, _ in model.named_parameters()]
    wanted = {
        index + "*" * (index == "4"): " ".join(sorted(n for n in names if n.startswith(index)))
        for index in ("0", "2", "4")
    }
    assert summary(model, **options) == wanted


def test_blocks_stay_blocks_when_their_own_parameters_are_parametrized() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4, 4))
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
            parametrize.register_parametrization(self, "scale", nn.Softplus())

    model = Holder(blocks=nn.Sequential(Block(), Block()), head=nn.Linear(4, 2))
    assert list(summary(model)) == ["blocks.0", "blocks.1", "head*"]


class Changed(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.linear = layer.requires_grad_(False)
        self.a = nn.Parameter(torch.zeros(layer.in_features, 3))
        self.b = nn.Parameter(torch.zeros(3, layer.out_features))


def in_parts(layer: nn.Linear) -> nn.Module:
    change = LowRank(layer.in_features, layer.out_features, rank=4)
    return Holder(linear=layer.requires_grad_(False), lora=change)


def as_in_peft(layer: nn.Linear) -> nn.Module:
    down = nn.Linear(layer.in_features, 4, bias=False)
    up = nn.Linear(4, layer.out_features, bias=False)
    return Holder(
        base_layer=layer.requires_grad_(False),
        lora_A=nn.ModuleDict({"default": down}),
        lora_B=nn.ModuleDict({"default": up}),
    )


def plainly(layer: nn.Linear) -> nn.Module:
    down = nn.Linear(layer.in_features, 1, bias=False)
    return Holder(layer=layer, down=down, up=nn.Linear(1, layer.out_features, bias=False))


class Scaled(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(layer.out_features))
        self.layer = layer


@pytest.mark.parametrize("make", [Changed, in_parts, as_in_peft, plainly, Scaled])
def test_a_head_with_an_adapter_is_the_whole_of_it(make: Callable[[nn.Linear], nn.Module]) -> None:
    only = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), make(nn.Linear(8, 2)))
    every = nn.Sequential(make(nn.Linear(4, 8)), nn.ReLU(), make(nn.Linear(8, 2)))
    for model in (only, every):
        named = model.named_parameters()
        trained = [name for name, p in named if p.requires_grad and name.startswith("2.")]
        groups = summary(model)
        assert len(groups) == 2
        assert groups["2*"] == " ".join(sorted(trained))


def test_layers_of_like_shapes_are_no_adapter() -> None:
    plain = Holder(**{f"l{i}": nn.Linear(4, 4, bias=False) for i in range(3)})
    gated = Holder(
        gate=nn.Linear(4, 8, bias=False),
        up=nn.Linear(4, 8, bias=False),
        down=nn.Linear(8, 4, bias=False),
    )
    bottleneck = Holder(first=nn.Linear(4, 1), second=nn.Linear(1, 4), skip=nn.Linear(4, 4))
    language = Holder(words=nn.Embedding(7, 4))
    language.hidden = nn.Parameter(torch.ones(4, 4))
    language.out = nn.Parameter(torch.ones(7, 4))
    assert not any(is_adapted(module) for module in (plain, gated, bottleneck, language))


@pytest.mark.parametrize("by", ["auto", 1])
def test_a_tied_head_that_comes_first_has_a_name_of_its_own(by: str | int) -> None:
    class Language(nn.Module):
        def __init__(self, bias: bool) -> None:
            super().__init__()
            self.lm_head = nn.Linear(4, 5, bias=bias)
            self.words, self.body = nn.Embedding(5, 4), nn.Linear(4, 4)
            self.lm_head.weight = self.words.weight

    body = "body.bias body.weight"
    wanted = {"lm_head": "lm_head.weight", "body": body, "lm_head.head*": "lm_head.bias"}
    assert summary(Language(bias=True), by=by) == wanted
    assert summary(Language(bias=False), by=by) == {"body": body, "lm_head*": "lm_head.weight"}
    by_tied_name = {"body": f"{body} lm_head.bias", "words.weight*": "lm_head.weight"}
    assert summary(Language(bias=True), head="words.weight") == by_tied_name


def test_heads_nested_in_containers() -> None:
    parts = {"backbone": nn.Linear(4, 4), "classifier": nn.Sequential(nn.Linear(4, 2))}
    assert list(summary(Holder(net=nn.ModuleDict(parts)))) == ["net.backbone", "net.classifier*"]
    nested = nn.ModuleList([nn.ModuleList([nn.Linear(4, 4)]), nn.ModuleList([nn.Linear(4, 2)])])
    assert list(summary(nested)) == ["0.0", "1.0*"]
    tail = nn.Sequential(nn.Dropout(), nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)))
    assert list(summary(nn.Sequential(nn.Linear(4, 4), tail))) == ["0", "1.1.1*"]


class Placed(Holder):
    """A network whose `group_matcher` is given."""

    def __init__(self, matcher: object) -> None:
        super().__init__(stem=nn.Linear(4, 4), body=nn.Linear(4, 4), head=nn.Linear(4, 2))
        self.group_matcher = lambda: matcher


PLACES = {
    "numbers": (lambda name: 0 if "stem" in name else 1, ["group.0", "group.1", "head*"]),
    "several": (
        lambda name: (2, 0) if "body" in name else (2, 1),
        ["group.2.0", "group.2.1", "head*"],
    ),
    "a list": (lambda name: [3] if "body" in name else [5], ["group.3", "group.5", "head*"]),
    "a tensor": (lambda name: torch.tensor(1.0), ["group.1", "head*"]),
    "with the last": (lambda name: (0,) if "stem" in name else (99999,), ["group.0", "head*"]),
    "at the end": (lambda name: float("inf") if "body" in name else 4, ["group.4", "head*"]),
    "knows none": (lambda name: float("inf"), ["stem", "body", "head*"]),
    "a table that knows none": ({"blocks": r"^layers\.(\d+)"}, ["stem", "body", "head*"]),
    "a label like the head": ({"stem": "^stem", "head": "^body"}, ["stem", "head", "head.head*"]),
}


@pytest.mark.parametrize("case", PLACES)
def test_groups_by_the_places_of_a_matcher(case: str) -> None:
    matcher, wanted = PLACES[case]
    assert list(summary(Placed(matcher))) == wanted


@pytest.mark.parametrize("place", [None, "stem", (), float("nan"), ("a", 1)])
def test_places_that_are_no_numbers_are_refused(place: object) -> None:
    with pytest.raises(ValueError, match=r"must return a number or several for 'stem\.weight'"):
        group_layers(Placed(lambda name: place))


@pytest.mark.parametrize("module", [l2o.layers.adapters, l2o.layers.bare, l2o.layers.matcher])
def test_docstrings_run(module: object) -> None:
    names = {"torch": torch, "nn": nn}
    assert doctest.testmod(module, extraglobs=names).failed == 0  # type: ignore[arg-type]
