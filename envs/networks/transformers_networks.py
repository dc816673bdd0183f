"""Networks of transformers that classify images: `transformers:NAME`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.base import Inputs, Library, Original, Request
from l2o.envs.networks.heads import resized
from l2o.envs.networks.hub import fetched
from l2o.envs.networks.near import unknown_architecture
from l2o.envs.networks.weights import take_weights
from l2o.extras import needed_by

_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}


class TransformersLibrary(Library):
    """transformers: a name on the hub (`microsoft/resnet-50`), a local folder, or a type of model.

    A type of model (`resnet`) is the default configuration of its kind, without weights of its own.
    """

    module: ClassVar[str] = "transformers"

    def names(self) -> list[str]:
        """Return the types of models that classify images."""
        with needed_by("a network of transformers"):
            from transformers.models.auto import modeling_auto as auto
        return sorted(auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)

    def load(self, request: Request) -> Original:
        """Return a network of transformers'.

        Raises:
            ValueError: an unknown name, one that cannot be fetched, weights that do not fit, or a
                size that it does not take.
        """
        name = request.architecture
        with needed_by("a network of transformers"):
            from transformers import AutoModelForImageClassification
        config = self._config(request)
        pretrained = request.pretrained and request.weights is None
        if pretrained and name in self.names():
            raise ValueError(
                f"transformers:{name} is a type of models, without weights of its own; name one "
                "with weights on the hub, or a local folder, or give a local file, weights=PATH"
            )
        if pretrained:
            with fetched(request.name):
                model = AutoModelForImageClassification.from_pretrained(name)
        else:
            model = AutoModelForImageClassification.from_config(config)
        network = TransformersNetwork(model, request.name)
        if request.weights is not None:
            take_weights(network, request.weights, request.name, request.by_position)
        inputs = inputs_of(name if pretrained or Path(name).is_dir() else None, config)
        network.scale_positions(request)
        return Original(
            network=network,
            inputs=inputs,
            arguments={"config": config.to_dict(), "model_type": config.model_type},
            source=name,
        )

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network with a linear head back."""
        del architecture, arguments, classes
        return (
            "from transformers import AutoModelForImageClassification\n"
            'network = AutoModelForImageClassification.from_pretrained(".")'
        )

    def more_files(self, network: Any, classes: Sequence[str]) -> dict[str, str]:
        """Return the configuration, with the names of classes."""
        config = copy.deepcopy(network.network.config)
        config.architectures = [type(network.network).__name__]
        if classes:
            config.id2label = dict(enumerate(classes))
            config.label2id = {name: number for number, name in enumerate(classes)}
        return {"config.json": config.to_json_string(use_diff=False)}

    def _config(self, request: Request) -> Any:
        """Return a model's configuration; only that of a name on the hub is fetched."""
        from transformers import AutoConfig

        if saved := request.arguments.get("config"):
            plain = {key: value for key, value in saved.items() if key != "model_type"}
            return AutoConfig.for_model(request.arguments["model_type"], **plain)
        name = request.architecture
        if name in self.names():
            return AutoConfig.for_model(name)
        folder = Path(name).expanduser()
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds no config.json of transformers' models")
        if not folder.is_dir() and "/" not in name:
            listing = "the table of AutoModelForImageClassification"
            told = unknown_architecture("transformers", name, self.names(), listing)
            raise ValueError(f"{told} A network on the hub has a name with a slash.")
        with fetched(request.name):
            return AutoConfig.from_pretrained(name)


class TransformersNetwork(Adapter):
    """A network of transformers', by timm's convention.

    Its features are what its classifier takes: one vector for each image.

    Args:
        model: transformers'; its attribute `classifier` is taken out, and lies beside it.
        name: of the network, for errors.

    Raises:
        ValueError: it has no `classifier`.
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__(model)
        found = getattr(model, "classifier", None)
        if not isinstance(found, nn.Module):
            raise ValueError(
                f"{name}: a {type(model).__name__} of transformers has no `classifier`; take the "
                "network from timm, or wrap it by timm's convention as package.module:function"
            )
        self.classifier = found
        kinds = nn.Linear | nn.Conv2d
        last = [path for path, m in found.named_modules() if isinstance(m, kinds)][-1:]
        self.last = ".".join(["classifier", *filter(None, last)])
        self.network.classifier = nn.Identity()
        self.options: dict[str, Any] = {}

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the classifier takes."""
        features: Tensor = self.network(pixel_values=x, **self.options).logits
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classifier(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the last layer, or what stands in its place."""
        return self.get_submodule(self.last)

    def reset_classifier(self, classes: int) -> None:
        """Put a new last layer of so many outputs on; 0 is none."""
        self.set_submodule(self.last, resized(self.get_classifier(), classes))
        self.network.config.num_labels = classes
        self.network.num_labels = classes

    def scale_positions(self, request: Request) -> None:
        """Let embeddings of positions be scaled, where images are of another size than theirs."""
        native = _pair(getattr(self.network.config, "image_size", None))
        takes = "interpolate_pos_encoding" in inspect.signature(self.network.forward).parameters
        if request.size is not None and native not in (None, request.size) and takes:
            self.options["interpolate_pos_encoding"] = True


def inputs_of(name: str | None, config: Any) -> Inputs:
    """Return what a network expects, by its image processor's configuration.

    Without one: ImageNet's means, and the size in the model's configuration.

    Args:
        name: where the configuration is, on the hub or in a folder; None: nowhere.
        config: of the model.
    """
    found = {} if name is None else _processor(name)
    size = _pair(found.get("crop_size")) or _pair(found.get("size"))
    resize, crop = _pair(found.get("size")), _pair(found.get("crop_size"))
    share = found.get("crop_pct") or 1.0
    if resize and crop and found.get("do_center_crop", True):
        share = min(1.0, crop[0] / resize[0])
    plain = Inputs()
    normalized = found.get("do_normalize", True)
    return Inputs(
        size=size or _pair(getattr(config, "image_size", None)) or plain.size,
        mean=tuple(found.get("image_mean") or plain.mean) if normalized else (0.0, 0.0, 0.0),
        std=tuple(found.get("image_std") or plain.std) if normalized else (1.0, 1.0, 1.0),
        interpolation=_RESAMPLING.get(found.get("resample", 2), "bilinear"),
        crop_share=float(share) if found else plain.crop_share,
    )


def _processor(name: str) -> dict[str, Any]:
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        found, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):  # there need not be one
        return {}
    return dict(found)


def _pair(size: Any) -> tuple[int, int] | None:
    """Return height and width of whatever a configuration has for a size."""
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        height, width = size.get("height", edge), size.get("width", edge)
        return None if height is None else (int(height), int(width))
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None
