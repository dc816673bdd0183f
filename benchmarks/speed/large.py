"""Large networks to measure a controller with, as torchvision and transformers define them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from l2o.benchmarks.speed.training import Workload

_WORDS = 30_000


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50

    return resnet50(weights=None)


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig())


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    return GPT2ForSequenceClassification(GPT2Config(pad_token_id=0))


def _reading(name: str, model: Callable[[], nn.Module], batch: int, words: int) -> Workload:
    def inputs(generator: torch.Generator) -> Tensor:
        return torch.randint(1, _WORDS, (batch, words), generator=generator)

    return Workload(f"{name}, {batch} x {words} words", model, batch, 0, inputs=inputs, classes=2)


LARGE = {
    "resnet50": Workload("ResNet-50, 25.6 M, 8 x 128²", _resnet50, 8, 128),
    "bert": _reading("BERT-base, 109 M", _bert, 8, 128),
    "gpt2": _reading("GPT-2, 124 M", _gpt2, 4, 128),
}
"""Name -> workload; small batches, which make the least of a step."""
