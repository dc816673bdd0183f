"""Grad-CAM: where in an image a network looks for its answer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2o.extras import needed_by
from l2o.registry import unknown_name


def attention_maps(model: nn.Module, layer: str, images: Tensor, classes: Tensor) -> Tensor:
    """Return Grad-CAM maps `[N, H, W]` in the images' size, each scaled to a maximum of 1.

    ReLU(Σ_c α_c A_c) with A the layer's maps and α_c the mean over positions of the class logit's
    gradient. Source: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization, ICCV 2017; computed by captum. A map without any positive part
    stays zero.

    Args:
        model: images -> logits.
        layer: name of a layer with maps `[N, C, h, w]`.
        images: `[N, C, H, W]`.
        classes: `[N]`, whose evidence is shown: labels, or the network's answers.

    Raises:
        MissingExtraError: captum is not installed.
        ValueError: no such layer, or one without maps.

    Example:
        >>> maps = attention_maps(model, "conv4", images, labels)  # doctest: +SKIP
    """
    modules = {name: module for name, module in model.named_modules() if name}
    if layer not in modules:
        raise ValueError(unknown_name("layer", layer, modules))
    attr: Any = _captum()
    gradients = attr.LayerGradCam(model, modules[layer])
    found = gradients.attribute(images, target=classes, relu_attributions=True)
    if found.dim() != 4:
        raise ValueError(
            f"layer {layer!r} gives {found.dim()} dimensions; Grad-CAM needs maps [N, C, H, W], "
            "so name a convolution"
        )
    size = tuple(images.shape[-2:])
    maps = attr.LayerAttribution.interpolate(found, size, interpolate_mode="bilinear")
    maps = maps.detach()[:, 0]
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return maps / largest.where(largest > 0, largest.new_ones(()))


def _captum() -> Any:
    with needed_by("Grad-CAM"):
        from captum import attr
    return attr
