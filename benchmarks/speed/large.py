"""Networks to measure a controller with, as torchvision and transformers define them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from l2o.benchmarks.speed.training import Workload
from l2o.extras import needed_by

_WORDS = 30_000


def vision(name: str, **options: Any) -> nn.Module:
    """Return a network of torchvision.

    Raises:
        ImportError: it is not installed.
    """
    with needed_by("l2o speed"):
        from torchvision import models
    network: nn.Module = getattr(models, name)(**options)
    return network


def vit(
    size: int = 64, patch: int = 8, width: int = 384, depth: int = 12, heads: int = 6
) -> nn.Module:
    """Return a vision transformer; the defaults are ViT-S (Touvron et al., DeiT, ICML 2021)."""
    return vision(
        "VisionTransformer",
        image_size=size,
        patch_size=patch,
        num_layers=depth,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=4 * width,
    )


def _language(kind: str, **options: int) -> nn.Module:
    with needed_by("l2o speed"):
        import transformers
    config = getattr(transformers, f"{kind}Config")(**options)
    network: nn.Module = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    return network


def _reading(name: str, model: Callable[[], nn.Module], batch: int, words: int) -> Workload:
    def inputs(generator: torch.Generator) -> Tensor:
        return torch.randint(1, _WORDS, (batch, words), generator=generator)

    return Workload(f"{name}, {batch} x {words} words", model, batch, 0, inputs=inputs, classes=2)


RESNET = Workload("ResNet, 11.7 M, 32 x 64²", partial(vision, "resnet18"), 32, 64)
VIT = Workload("ViT-S, 21.8 M, 8 x 64²", vit, 8, 64)
RESNET50 = Workload(
    "ResNet-50, 25.6 M, 64 x 224², bf16", partial(vision, "resnet50"), 64, 224, bf16=True
)
LARGE = {
    "resnet50": Workload("ResNet-50, 25.6 M, 8 x 128²", partial(vision, "resnet50"), 8, 128),
    "bert": _reading("BERT-base, 109 M", partial(_language, "Bert"), 8, 128),
    "gpt2": _reading("GPT-2, 124 M", partial(_language, "GPT2", pad_token_id=0), 4, 128),
}
"""Name -> workload; small batches, which make the least of a step."""
