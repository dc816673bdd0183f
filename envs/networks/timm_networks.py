"""Networks of timm: `timm:NAME`, with timm's own names, tags and hubs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from l2o.envs.networks.adapter import Adapter
from l2o.envs.networks.base import (
    INTERPOLATIONS,
    Inputs,
    Library,
    Original,
    Request,
    cannot_dilate,
)
from l2o.envs.networks.hub import fetched
from l2o.envs.networks.near import unknown_architecture
from l2o.envs.networks.weights import take_weights
from l2o.extras import needed_by

ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")
"""What begins names of networks that timm itself looks up."""


class TimmLibrary(Library):
    """timm: a network is a name, `resnet50` or with a tag of its weights, `resnet50.a1_in1k`."""

    module: ClassVar[str] = "timm"

    def names(self) -> list[str]:
        """Return timm's models."""
        found: list[str] = _timm().list_models()
        return found

    def load(self, request: Request) -> Original:
        """Return a network of timm's.

        Raises:
            ValueError: an unknown name or tag, one without weights on the hub, weights that do not
                fit, or a size that it does not take.
        """
        self._check(request)
        pretrained = request.pretrained and request.weights is None
        network = _create(request, pretrained, dict(request.arguments))
        inputs = inputs_of(network)
        arguments = dict(request.arguments)
        resized = request.size is not None and request.size != inputs.size
        if resized and network.pretrained_cfg.get("fixed_input_size"):
            arguments["img_size"] = list(request.size or ())
            if not hasattr(network, "set_input_size"):
                # Before weights: timm scales those of its hub while it loads them.
                network = _create(request, pretrained, arguments)
        if request.weights is not None:
            take_weights(network, request.weights, request.name, request.by_position)
        if resized and "img_size" in arguments and hasattr(network, "set_input_size"):
            network.set_input_size(img_size=request.size)
        config = network.pretrained_cfg
        return Original(
            network=Paired(network) if isinstance(network.get_classifier(), tuple) else network,
            inputs=inputs,
            arguments=arguments,
            source=str(config.get("hf_hub_id") or config.get("url") or "timm's hub"),
            licence=str(config.get("license") or "unknown"),
        )

    def dilated(self, name: str, output_stride: int) -> dict[str, Any]:
        """Return timm's own option."""
        del name
        return {"output_stride": output_stride}

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network with a linear head back."""
        more = "".join(f", {key}={value!r}" for key, value in arguments.items())
        return (
            "import timm\n"
            f"network = timm.create_model({architecture!r}, num_classes={classes}{more}, "
            'checkpoint_path="model.safetensors")'
        )

    def _check(self, request: Request) -> None:
        name = request.architecture
        if name.startswith(ELSEWHERE):
            return
        timm = _timm()
        base, _, tag = name.partition(".")
        if not timm.is_model(base):
            listing = "timm.list_models()"
            raise ValueError(unknown_architecture("timm", name, timm.list_models(), listing))
        tags = timm.list_pretrained(f"{base}.*")
        if tag and name not in tags:
            listing = f"timm.list_pretrained('{base}.*')"
            raise ValueError(unknown_architecture("timm", name, tags, listing))
        if request.pretrained and request.weights is None and not timm.is_model_pretrained(base):
            raise ValueError(
                f"timm has no weights of {name!r}; give a local file, weights=PATH, or take one of "
                "timm.list_pretrained()"
            )


class Paired(Adapter):
    """A distilled network of timm's: its two classifiers are one head, whose answers are averaged.

    Args:
        network: timm's, whose `get_classifier()` gives several.
    """

    aliases: ClassVar[tuple[str, ...]] = ("heads",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.heads = nn.ModuleList(self.network.get_classifier())

    def forward_features(self, x: Tensor) -> Any:
        """Return what the heads take."""
        return self.network.forward_features(x)

    def forward_head(self, features: Any) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network.forward_head(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return both heads."""
        return self.heads

    def reset_classifier(self, classes: int) -> None:
        """Put new heads on."""
        self.network.reset_classifier(classes)
        self.heads = nn.ModuleList(self.network.get_classifier())


def inputs_of(network: Any) -> Inputs:
    """Return what a network of timm's expects, by its `pretrained_cfg`."""
    from timm.data import resolve_data_config

    config = resolve_data_config({}, model=network)
    interpolation = config["interpolation"]
    return Inputs(
        size=tuple(config["input_size"][1:]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
        crop_share=float(config["crop_pct"]),
    )


def _create(request: Request, pretrained: bool, arguments: Mapping[str, Any]) -> Any:
    """Return timm's model; what cannot be fetched says how to give a local file."""
    timm = _timm()
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()}
    try:
        if not pretrained and not request.architecture.startswith(ELSEWHERE):
            return timm.create_model(request.architecture, pretrained=False, **given)
        with fetched(request.name):
            return timm.create_model(request.architecture, pretrained=pretrained, **given)
    except (TypeError, AssertionError, NotImplementedError) as error:
        if "output_stride" in given:
            message = cannot_dilate(request.name, int(arguments["output_stride"]))
            raise ValueError(message) from error
        if "img_size" not in given or not isinstance(error, TypeError):
            raise
        raise ValueError(
            f"{request.name} takes images of one size only (timm: {error}); leave size out"
        ) from error


def _timm() -> Any:
    with needed_by("a network of timm"):
        import timm
    return timm
