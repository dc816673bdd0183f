"""Networks of torchvision: `torchvision:NAME`, for whole images and for pixels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.base import Inputs, Library, Original, Request, cannot_dilate
from l2o.envs.networks.heads import resized
from l2o.envs.networks.hub import fetched
from l2o.envs.networks.near import unknown_architecture
from l2o.envs.networks.torchvision_cuts import CUTS
from l2o.envs.networks.torchvision_segmentation import BACKBONES, make_segmentation
from l2o.envs.networks.weights import take_weights
from l2o.extras import needed_by

ALWAYS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": True},
    "inception_v3": {"aux_logits": False, "init_weights": False, "transform_input": True},
}
"""What builders are told so that they build what comes with the published weights."""
_DILATED = (
    *("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)
_SIZE_ARGUMENT = {"VisionTransformer": "image_size", "MaxVit": "input_size"}
_LICENCE = "BSD-3-Clause"


class TorchvisionLibrary(Library):
    """torchvision: `resnet50`, or with the name of its weights, `resnet50.IMAGENET1K_V1`.

    Networks for pixels (`deeplabv3_resnet50`) begin with their backbone's weights for ImageNet.
    """

    module: ClassVar[str] = "torchvision"

    def names(self) -> list[str]:
        """Return torchvision's models for images, and those for pixels that we know."""
        models = _models()
        return [*models.list_models(module=models), *BACKBONES]

    def load(self, request: Request) -> Original:
        """Return a network of torchvision's.

        Raises:
            ValueError: an unknown name, weights that do not fit, or a size that it does not take.
        """
        name, _, tag = request.architecture.partition(".")
        if name not in self.names():
            listing = "torchvision.models.list_models()"
            raise ValueError(unknown_architecture("torchvision", name, self.names(), listing))
        if name in BACKBONES:
            original = load_classifier(request, BACKBONES[name], tag or "IMAGENET1K_V1")
            dense = partial(make_segmentation, name, original.network)
            return Original(**{**vars(original), "dense": dense, "arguments": {}})
        return load_classifier(request, name, tag or "DEFAULT")

    def dilated(self, name: str, output_stride: int) -> dict[str, Any]:
        """Return torchvision's own option, which its ResNets with bottlenecks have."""
        architecture = name.partition(":")[2].partition(".")[0]
        if architecture not in _DILATED:
            raise ValueError(cannot_dilate(name, output_stride))
        # Of the second, third and fourth stage, which halve the map to an 8th, 16th and 32nd.
        return {"replace_stride_with_dilation": [False, output_stride <= 8, output_stride <= 16]}

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network with a linear head back."""
        name = architecture.partition(".")[0]
        told = {"weights_backbone": None} if name in BACKBONES else arguments
        more = "".join(f", {key}={value!r}" for key, value in told.items())
        return (
            "import torchvision\nfrom safetensors.torch import load_file\n"
            f"network = torchvision.models.get_model({name!r}, num_classes={classes}{more})\n"
            'network.load_state_dict(load_file("model.safetensors"))'
        )


class TorchvisionNetwork(Adapter):
    """A network of torchvision's for whole images, by timm's convention.

    Args:
        network: torchvision's.

    Raises:
        ValueError: it is of a class that we do not know.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        kind = next((base.__name__ for base in type(network).__mro__ if base.__name__ in CUTS), "")
        if not kind:
            raise ValueError(
                f"torchvision's {type(network).__name__} is none of {', '.join(CUTS)}; wrap it by "
                "timm's convention, and give it as package.module:function"
            )
        self.cut = CUTS[kind]
        self.last = _last_name(network, self.cut.last)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what is pooled: maps `[N, C, h, w]`, tokens `[N, T, C]`."""
        return self.cut.features(self.network, x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits."""
        return self.cut.logits(self.network, features)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        found: nn.Module = self.network.get_submodule(self.last)
        return found

    def reset_classifier(self, classes: int) -> None:
        """Put a new last layer of so many outputs on; 0 is none."""
        self.network.set_submodule(self.last, resized(self.get_classifier(), classes))


def load_classifier(request: Request, name: str, tag: str) -> Original:
    """Return a network for whole images.

    Args:
        request: what is asked for.
        name: torchvision's, of the network.
        tag: of its published weights.

    Raises:
        ValueError: unknown weights, weights that do not fit, or a size that it does not take.
    """
    models = _models()
    published = models.get_model_weights(name)
    if tag not in published.__members__:
        listing = f"torchvision.models.get_model_weights({name!r})"
        known = [f"{name}.{each}" for each in published.__members__]
        raise ValueError(unknown_architecture("torchvision", f"{name}.{tag}", known, listing))
    weights = published[tag]
    inputs = inputs_of(weights)
    arguments = {**_native(name, weights), **request.arguments}
    if request.pretrained and request.weights is None:
        with fetched(request.name):
            network = TorchvisionNetwork(_without_aux(_published(name, weights, request)))
    else:
        network = TorchvisionNetwork(models.get_model(name, weights=None, **arguments))
        if request.weights is not None:
            state = {n: t for n, t in request.weights.items() if not _is_aux(name, n)}
            take_weights(network, state, request.name, request.by_position)
    if request.size is not None and request.size != inputs.size:
        network, more = _at_size(network, name, arguments, request)
        arguments.update(more)
    return Original(
        network=network,
        inputs=inputs,
        arguments=arguments,
        source=str(weights.url),
        licence=str(weights.meta.get("license", _LICENCE)),
    )


def _published(name: str, weights: Any, request: Request) -> Any:
    return _models().get_model(name, weights=weights, **request.arguments)


def inputs_of(weights: Any) -> Inputs:
    """Return what a network expects, by the transforms of its published weights."""
    transforms = weights.transforms()
    crop, resize = transforms.crop_size[0], transforms.resize_size[0]
    return Inputs(
        size=(crop, crop),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
        crop_share=crop / resize,
    )


def _native(name: str, weights: Any) -> dict[str, Any]:
    """Return what a builder must be told to build what published weights are of."""
    size = weights.meta["min_size"]
    if name.startswith("vit_") and size[0] != 224:
        return {"image_size": size[0]}
    return dict(ALWAYS.get(name, {}))


def _at_size(
    network: TorchvisionNetwork, name: str, arguments: Mapping[str, Any], request: Request
) -> tuple[TorchvisionNetwork, dict[str, Any]]:
    """Return the network for images of another size, and what its builder takes for it."""
    assert request.size is not None
    argument = _SIZE_ARGUMENT.get(type(network.network).__name__)
    if argument is None:
        return network, {}
    if argument == "input_size":
        raise ValueError(
            f"{request.name} takes images of one size only, and {list(request.size)} is another; "
            "leave size out"
        )
    height, width = request.size
    if height != width or height % network.network.patch_size:
        raise ValueError(
            f"size={[height, width]}: {request.name} takes squares, of a multiple of its patches' "
            f"{network.network.patch_size} pixels"
        )
    from torchvision.models.vision_transformer import interpolate_embeddings

    more = {argument: height}
    state = network.network.state_dict()
    classes = getattr(network.get_classifier(), "out_features", 0)
    given = {**arguments, **more}
    resized_network = TorchvisionNetwork(_models().get_model(name, weights=None, **given))
    resized_network.reset_classifier(classes)
    scaled = interpolate_embeddings(height, network.network.patch_size, state)
    resized_network.network.load_state_dict(scaled)
    return resized_network, more


def _without_aux(network: Any) -> nn.Module:
    """Drop the classifiers that only train along."""
    for name in ("aux1", "aux2", "AuxLogits"):
        if getattr(network, name, None) is not None:
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False
    made: nn.Module = network
    return made


def _is_aux(name: str, tensor: str) -> bool:
    return name in ALWAYS and tensor.startswith(("aux1.", "aux2.", "AuxLogits."))


def _last_name(network: nn.Module, last: str) -> str:
    if not last.endswith(".{}"):
        return last
    container = last.removesuffix(".{}")
    children = [name for name, _ in network.get_submodule(container).named_children()]
    return f"{container}.{children[-1]}"


def _models() -> Any:
    with needed_by("a network of torchvision"):
        import torchvision.models
        import torchvision.models.segmentation
    return torchvision.models
