"""Layer groups of every family of timm's, and of all models of torchvision's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from l2o.layers.groups import LayerGroup, group_layers

FEWEST, MOST = 4, 90
MODULES = {
    "classification": torchvision.models,
    "segmentation": torchvision.models.segmentation,
    "detection": torchvision.models.detection,
}
HEADS = ("classifier", "fc", "heads", "head", "roi_heads")


class ShapesOnly(TorchFunctionMode):
    """Let layers make parameters without values: on the meta device, and nothing fills them.

    With `torch.device("meta")` alone it takes twice as long: torch works out what each layer's
    initialisation would do.
    """

    FILLING = {
        *("uniform_", "normal_", "constant_", "kaiming_uniform_", "kaiming_normal_"),
        *("erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_"),
    }

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.empty:
            return func(*args, **{**kwargs, "device": "meta"})
        if func.__name__ in self.FILLING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.device.type == "meta":
                return tensor
        return func(*args, **kwargs)


# They compute their widths with tensors, which need values: only parameters lie on "meta".
NEEDS_VALUES = ("regnet_x_", "regnet_y_")

# The first models of these families are backbones: their classifier is an `nn.Identity`.
WITHOUT_CLASSIFIER = {
    *("deepseek_vit", "eva", "gemma4_vit", "mobilenetv5", "qwen3_vit", "vision_transformer"),
    "vision_transformer_sam",  # a `ClassifierHead` without parameters
}


def build(make: Callable[..., nn.Module], name: str, **options: object) -> nn.Module:
    """Build a model whose parameters have shapes and no values."""
    everything = nullcontext() if name.startswith(NEEDS_VALUES) else torch.device("meta")
    with everything, ShapesOnly(), warnings.catch_warnings(action="ignore", category=FutureWarning):
        return make(name, **options)


def first_models() -> dict[str, str]:
    """Return the first model of each of timm's families, by name."""
    models = {family: timm.list_models(module=family) for family in timm.list_modules()}
    return {family: names[0] for family, names in models.items() if names}


def check_groups(model: nn.Module, head: set[int]) -> tuple[LayerGroup, ...]:
    """Check that groups are a partition of the trainable parameters, the head the last of them."""
    groups = group_layers(model)
    found = [id(p) for group in groups for p in group.parameters]
    assert sorted(found) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert FEWEST <= len(groups) <= MOST
    assert len({group.name for group in groups}) == len(groups)
    last = {id(p) for p in groups[-1].parameters}
    assert [group.is_head for group in groups[:-1]] == [False] * (len(groups) - 1)
    assert groups[-1].is_head == bool(head)
    assert last == head or not head
    return groups


def parameters_of(modules: object) -> set[int]:
    many = modules if isinstance(modules, tuple | list) else [modules]
    return {id(p) for m in many if isinstance(m, nn.Module) for p in m.parameters()}


FIRST = first_models()


@pytest.mark.parametrize("family", FIRST)
def test_families_of_timm(family: str) -> None:
    model = build(timm.create_model, FIRST[family])
    classifier = parameters_of(model.get_classifier())
    assert bool(classifier) == (family not in WITHOUT_CLASSIFIER)
    check_groups(model, classifier)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, n) for kind, m in MODULES.items() for n in torchvision.models.list_models(module=m)],
)
def test_models_of_torchvision(kind: str, name: str) -> None:
    backbone = {} if kind == "classification" else {"weights_backbone": None}
    model = build(torchvision.models.get_model, name, weights=None, **backbone)
    (head,) = [child for child_name, child in model.named_children() if child_name in HEADS]
    check_groups(model, parameters_of(head))


def test_deep_models_share_groups_however_much_is_frozen() -> None:
    model = build(torchvision.models.get_model, "densenet201")
    groups = group_layers(model)
    assert len(groups) == MOST
    assert len(group_layers(model, max_groups=200)) == 103
    names = [group.name for group in groups]
    for frozen in (model.features.denseblock1, model.features.transition1):
        frozen.requires_grad_(False)
    left = [n for n in names if ".denseblock1." not in n and ".transition1." not in n]
    assert [group.name for group in group_layers(model)] == left
    assert len(left) < MOST


@pytest.mark.parametrize(
    "name",
    ["convnext_atto", "poolformer_s12", "vgg11", "vit_tiny_patch16_224", "samvit_base_patch16"],
)
def test_without_its_classifier_a_network_of_timm_has_no_head(name: str) -> None:
    model = build(timm.create_model, name, num_classes=0)
    assert not any(group.is_head for group in group_layers(model))


def test_places_that_a_function_gives_are_groups() -> None:
    model = build(timm.create_model, "cait_xxs24_224")
    groups = {group.name: group.parameter_names for group in group_layers(model)}
    assert list(groups) == [f"group.{i}" for i in range(25)] + ["head"]
    last = {name.split(".")[0] for name in groups["group.24"]}
    # timm lets the blocks that see the class token only share places with the last blocks.
    assert last == {"blocks", "blocks_token_only", "norm"}
