"""Layer groups: every trainable parameter once, ordered from input to head."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o.layers.groups
from l2o.layers.groups import group_layers, param_groups


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3)
        self.shortcut = nn.Identity()


class ResNet(nn.Module):
    def __init__(self, depths: tuple[int, ...] = (2, 3)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        for stage, depth in enumerate(depths, 1):
            setattr(self, f"layer{stage}", nn.Sequential(*(Block(4) for _ in range(depth))))
        self.fc = nn.Linear(4, 2)


class PlainConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def get_classifier(self) -> nn.Module:
        return self.head


class EncoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1)
        self.norm = nn.LayerNorm(4)
        self.output = nn.Linear(4, 4)


class Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.positions = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList(EncoderLayer() for _ in range(3))


class BertBody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()
        self.final_norm = nn.LayerNorm(4)


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert = BertBody()
        self.dropout = nn.Dropout()
        self.classifier = nn.Linear(4, 2)


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.patch_embed = nn.Conv2d(3, 4, 2)
        self.blocks = nn.Sequential(*(EncoderLayer() for _ in range(3)))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


class HuggingFaceStyleResNet(nn.Module):
    """Stages that hold nothing but a list of blocks, themselves made of repeated units."""

    def __init__(self) -> None:
        super().__init__()

        class Unit(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.convolution = nn.Conv2d(4, 4, 3)
                self.normalization = nn.BatchNorm2d(4)

        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.shortcut = nn.Identity()
                self.layer = nn.Sequential(Unit(), Unit())

        class Stage(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.Sequential(Residual(), Residual())

        self.embedder = Unit()
        self.stages = nn.ModuleList([Stage(), Stage()])
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


class TimmViT(ViT):
    def group_matcher(self, coarse: bool = False) -> dict[str, object]:
        return {
            "stem": r"^cls_token|patch_embed",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
        }


class ListMatcher(ViT):
    def group_matcher(self, coarse: bool = False) -> list[tuple[str, object]]:
        return [(r"^cls_token|patch_embed", None), (r"^blocks\.(\d+)", None)]


def vgg() -> nn.Sequential:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


MODELS = {
    "resnet": (ResNet, "conv1 layer1.0 layer1.1 layer2.0 layer2.1 layer2.2 fc"),
    "plain": (PlainConvNet, "conv1 conv2 fc head"),
    "bert": (
        Bert,
        "bert.embeddings bert.encoder.layer.0 bert.encoder.layer.1 bert.encoder.layer.2 classifier",
    ),
    "vit": (ViT, "patch_embed blocks.0 blocks.1 blocks.2 head"),
    "hf": (
        HuggingFaceStyleResNet,
        "embedder stages.0.layers.0 stages.0.layers.1 stages.1.layers.0 stages.1.layers.1 "
        "classifier",
    ),
    "timm": (TimmViT, "stem blocks.0 blocks.1 blocks.2 head"),
    "vgg": (vgg, "0 3 6 8"),
    "mlp": (mlp, "0 2 4"),
    "linear": (lambda: nn.Linear(3, 2), "head"),
}


def names(model: nn.Module, **options: object) -> list[str]:
    return [group.name for group in group_layers(model, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_auto_groups(name: str) -> None:
    build, expected = MODELS[name]
    model = build()
    groups = group_layers(model)
    assert [group.name for group in groups] == expected.split()
    found = [id(p) for group in groups for p in group.parameters]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    by_name = dict(model.named_parameters())
    assert all(by_name[n] is p for g in groups for n, p in zip(g.parameter_names, g.parameters))
    assert [group.is_head for group in groups] == [False] * (len(groups) - 1) + [True]
    depths = [group.depth for group in groups]
    assert depths == sorted(depths)
    assert depths[-1] == 1.0
    assert len(depths) == 1 or depths[0] == 0.0


def test_norms_and_tokens_join_their_neighbours() -> None:
    groups = {group.name: group.parameter_names for group in group_layers(ViT())}
    assert groups["patch_embed"][0] == "cls_token"
    assert "norm.weight" in groups["blocks.2"]
    assert group_layers(ResNet())[0].parameter_names == (
        "conv1.weight",
        "conv1.bias",
        "bn1.weight",
        "bn1.bias",
    )
    assert "norm.bias" in group_layers(TimmViT())[3].parameter_names


def test_a_list_of_matchers() -> None:
    found = names(ListMatcher())
    assert found == ["blocks", "blocks.0", "blocks.1", "blocks.2", "head"]


def test_matchers_with_suffixes_have_names_of_their_own() -> None:
    class Staged(ViT):
        def group_matcher(self) -> dict[str, object]:
            return {
                "stem": [(r"^cls_token", (0,)), (r"^patch_embed", (1,))],
                "blocks": [(r"^blocks\.(\d+)\.norm", (0,)), (r"^blocks\.(\d+)", (1,))],
                "unused": None,
            }

    found = names(Staged())
    assert found == [
        "stem.0",
        "stem.1",
        *(f"blocks.{i}.{j}" for i in range(3) for j in range(2)),
        "head",
    ]


def test_by_depth_mapping_and_callable() -> None:
    assert names(ResNet(), by=1) == ["conv1", "bn1", "layer1", "layer2", "fc"]
    table = {"stem": r"^(conv1|bn1)\.", "body": r"^layer", "classes": "^fc"}
    assert names(ResNet(), by=table) == ["stem", "body", "classes"]
    assert names(ResNet(), by=lambda name: name.split(".")[0][:5]) == [
        "conv1",
        "bn1",
        "layer",
        "fc",
    ]
    assert names(ResNet(), by={"all": "."}) == ["all", "fc"]


def test_heads() -> None:
    model = PlainConvNet()
    assert names(model, head="fc")[-1] == "fc"
    assert names(model, head=model.conv2)[-1] == "conv2"
    assert names(vgg(), head="6") == ["0", "3", "8", "6"]

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)  # registered before the backbone
            self.body = nn.Linear(2, 2)

        def get_classifier(self) -> nn.Module:
            return nn.Identity()

    assert names(Odd()) == ["body", "head"]


def test_wrappers_are_looked_through() -> None:
    assert names(nn.DataParallel(PlainConvNet())) == names(PlainConvNet())


def test_tied_weights_are_counted_once() -> None:
    class Language(nn.Module):
        def __init__(self, bias: bool) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.body = nn.Linear(4, 4)
            self.lm_head = nn.Linear(4, 5, bias=bias)
            self.lm_head.weight = self.words.weight

    with_bias = group_layers(Language(bias=True))
    assert [group.parameter_names for group in with_bias] == [
        ("words.weight",),
        ("body.weight", "body.bias"),
        ("lm_head.bias",),
    ]
    bare = group_layers(Language(bias=False))
    assert [group.parameter_names for group in bare][-1] == ("words.weight",)
    assert len(bare) == 2


def test_frozen_parameters_are_left_out() -> None:
    model = ResNet()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("bn1" in name or name.startswith("fc"))
    assert names(model) == [
        "conv1",
        "layer1.0",
        "layer1.1",
        "layer2.0",
        "layer2.1",
        "layer2.2",
        "fc",
    ]
    model = ResNet()
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    (only,) = group_layers(model)
    assert only.is_head
    assert only.depth == 1.0
    model.requires_grad_(True)
    model.fc.requires_grad_(False)
    assert not any(group.is_head for group in group_layers(model))


def test_max_groups_merges_within_stages_first() -> None:
    assert names(ResNet(), max_groups=4) == ["conv1", "layer1", "layer2", "fc"]
    assert names(Bert(), max_groups=4)[1] == "bert.encoder.layer.0..bert.encoder.layer.1"
    for limit in range(2, 9):
        groups = group_layers(ResNet(), max_groups=limit)
        assert len(groups) == min(limit, 7)
        assert groups[-1].parameter_names == ("fc.weight", "fc.bias")
        assert len({group.name for group in groups}) == len(groups)


BAD = {
    "frozen": (lambda: ResNet().requires_grad_(False), {}, "no trainable parameters"),
    "head": (ResNet, {"head": "fcc"}, "Did you mean 'fc'"),
    "foreign head": (ResNet, {"head": nn.Linear(1, 1)}, "no module of the model"),
    "empty head": (ResNet, {"head": "layer1.0.shortcut"}, "no trainable"),
    "regex": (ResNet, {"by": {"a": "("}}, "no regular expression"),
    "unmatched": (ResNet, {"by": {"a": "^conv1"}}, r"bn1\.weight.*'rest'"),
    "callable": (ResNet, {"by": lambda name: 3}, "must return"),
    "mixed": (ResNet, {"by": {"fc": "."}}, "would hold the head"),
    "depth": (ResNet, {"by": 0}, "1 or more"),
    "by": (ResNet, {"by": "layers"}, "by must be"),
    "bool": (ResNet, {"by": True}, "by must be"),
    "max": (ResNet, {"max_groups": 1}, "at least 2"),
    "lazy": (lambda: nn.LazyLinear(3), {}, "run one batch"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_name_the_remedy(case: str) -> None:
    build, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        group_layers(build(), **options)


def test_param_groups() -> None:
    groups = group_layers(PlainConvNet())
    optimizer = torch.optim.SGD(param_groups(groups, 0.1, weight_decay=0.5, momentum=0.9))
    assert [g["name"] for g in optimizer.param_groups] == ["conv1", "conv2", "fc", "head"]
    assert {(g["lr"], g["weight_decay"], g["momentum"]) for g in optimizer.param_groups} == {
        (0.1, 0.5, 0.9)
    }
    left_to_optimizer = torch.optim.SGD(param_groups(groups, 0.1), weight_decay=0.25)
    assert {g["weight_decay"] for g in left_to_optimizer.param_groups} == {0.25}
    with pytest.raises(ValueError, match="base_lr"):
        param_groups(groups, -1.0)
    with pytest.raises(ValueError, match="weight_decay"):
        param_groups(groups, 1.0, weight_decay=float("nan"))


def test_docstrings_run() -> None:
    assert doctest.testmod(l2o.layers.groups, extraglobs={"torch": torch}).failed == 0


@given(
    widths=st.lists(st.integers(1, 3), min_size=1, max_size=6),
    nesting=st.integers(1, 3),
    frozen=st.sets(st.integers(0, 11), max_size=8),
    limit=st.integers(2, 5),
)
@settings(max_examples=40, deadline=None)
def test_every_trainable_parameter_once(
    widths: list[int], nesting: int, frozen: set[int], limit: int
) -> None:
    layers: list[nn.Module] = [nn.Linear(width, width) for width in widths]
    stages = [nn.Sequential(*layers[i : i + nesting]) for i in range(0, len(layers), nesting)]
    model = nn.Sequential(*stages, nn.Linear(2, 2))
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index not in frozen)
    wanted = [id(p) for p in model.parameters() if p.requires_grad]
    if not wanted:
        return
    for by in ("auto", 1, lambda name: name[0]):
        groups = group_layers(model, by=by, max_groups=limit)  # type: ignore[arg-type]
        assert [id(p) for group in groups for p in group.parameters] == wanted
        assert len(groups) <= limit
        assert len({group.name for group in groups}) == len(groups)
