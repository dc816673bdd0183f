"""Layer groups of real architectures: one per block, a stem, the head, every parameter once."""

from __future__ import annotations

import pytest
import transformers
from torch import nn

from l2o.layers.groups import group_layers

WIDTH = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
IMAGE = {"image_size": 8, "patch_size": 4, "num_labels": 3}
TEXT = {"vocab_size": 11, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
GPT2 = dict(n_embd=8, n_layer=3, n_head=2, n_positions=8, **TEXT)
BASIC = {"embedding_size": 4, "hidden_sizes": [4, 8, 8, 8], "layer_type": "basic", "num_labels": 3}


def resnet18():
    config = transformers.ResNetConfig(depths=[2, 2, 2, 2], **BASIC)
    return transformers.ResNetForImageClassification(config)


def resnet50():
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8, 8, 8], depths=[3, 4, 6, 3], num_labels=3
    )
    return transformers.ResNetForImageClassification(config)


def vit():
    return transformers.ViTForImageClassification(transformers.ViTConfig(**WIDTH, **IMAGE))


def swin():
    config = transformers.SwinConfig(
        image_size=16, patch_size=2, embed_dim=4, depths=[1, 2, 1], num_heads=[1] * 3, window_size=2
    )
    return transformers.SwinForImageClassification(config)


def convnext():
    config = transformers.ConvNextConfig(hidden_sizes=[4, 8, 8, 8], depths=[1, 1, 2, 1])
    return transformers.ConvNextForImageClassification(config)


def segformer():
    config = transformers.SegformerConfig(
        hidden_sizes=[4, 4, 4, 4],
        num_attention_heads=[1] * 4,
        depths=[1] * 4,
        decoder_hidden_size=4,
    )
    return transformers.SegformerForSemanticSegmentation(config)


def bert():
    return transformers.BertForSequenceClassification(transformers.BertConfig(**WIDTH, **TEXT))


def gpt2():
    return transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**GPT2))


def gpt2_tied():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))


def llama(tie=False):
    config = transformers.LlamaConfig(**WIDTH, **TEXT, tie_word_embeddings=tie)
    return transformers.LlamaForCausalLM(config)


def t5():
    config = transformers.T5Config(
        d_model=8, d_kv=4, d_ff=8, num_layers=2, num_heads=2, vocab_size=11
    )
    return transformers.T5ForConditionalGeneration(config)


def vgg16():
    layers: list[nn.Module] = []
    channels = 3
    for width in [4, 4, 0, 8, 8, 0, 8, 8, 8, 0, 8, 8, 8, 0, 8, 8, 8, 0]:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


class DoubleConv(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()),
            *(nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()),
        )


class Up(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.up = nn.ConvTranspose2d(inner, outer, 2, 2)
        self.conv = DoubleConv(inner, outer)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc, self.pool = DoubleConv(3, 4), nn.MaxPool2d(2)
        self.down1, self.down2 = DoubleConv(4, 8), DoubleConv(8, 16)
        self.up1, self.up2 = Up(16, 8), Up(8, 4)
        self.outc = nn.Conv2d(4, 2, 1)


def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def stages(depths, pattern):
    return [pattern.format(s, b) for s, depth in enumerate(depths) for b in range(depth)]


def counted(pattern, count=3):
    return [pattern.format(index) for index in range(count)]


RESNET = "resnet.encoder.stages.{}.layers.{}"
MODELS = {
    "resnet18": (
        resnet18,
        ["resnet.embedder.embedder", *stages([2, 2, 2, 2], RESNET), "classifier"],
    ),
    "resnet50": (
        resnet50,
        ["resnet.embedder.embedder", *stages([3, 4, 6, 3], RESNET), "classifier"],
    ),
    "vit": (
        vit,
        ["vit.embeddings.patch_embeddings.projection", *counted("vit.layers.{}"), "classifier"],
    ),
    "swin": (
        swin,
        [
            "swin.embeddings.patch_embeddings.projection",
            "swin.encoder.layers.0.blocks.0",
            "swin.encoder.layers.0.downsample",
            *counted("swin.encoder.layers.1.blocks.{}", 2),
            "swin.encoder.layers.1.downsample",
            "swin.encoder.layers.2.blocks.0",
            "classifier",
        ],
    ),
    "convnext": (
        convnext,
        [
            "convnext.embeddings.patch_embeddings",
            "convnext.encoder.stages.0.layers.0",
            "convnext.encoder.stages.1.downsampling_layer.1",
            "convnext.encoder.stages.1.layers.0",
            "convnext.encoder.stages.2.downsampling_layer.1",
            *counted("convnext.encoder.stages.2.layers.{}", 2),
            "convnext.encoder.stages.3.downsampling_layer.1",
            "convnext.encoder.stages.3.layers.0",
            "classifier",
        ],
    ),
    "segformer": (
        segformer,
        [
            *(
                f"segformer.stages.{stage}.{part}"
                for stage in range(4)
                for part in ("patch_embeddings", "blocks.0")
            ),
            "decode_head",
        ],
    ),
    "bert": (
        bert,
        [
            "bert.embeddings",
            *counted("bert.encoder.layer.{}"),
            "bert.pooler.dense",
            "classifier",
        ],
    ),
    "gpt2": (
        gpt2,
        ["transformer.wte..transformer.wpe", *counted("transformer.h.{}"), "score"],
    ),
    "gpt2_tied": (gpt2_tied, ["transformer.wpe", *counted("transformer.h.{}"), "lm_head"]),
    "llama": (llama, ["model.embed_tokens", *counted("model.layers.{}"), "lm_head"]),
    "llama_tied": (lambda: llama(tie=True), [*counted("model.layers.{}"), "lm_head"]),
    "t5": (t5, [*counted("encoder.block.{}", 2), *counted("decoder.block.{}", 2), "lm_head"]),
    "vgg16": (vgg16, [str(i) for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 32, 34)]),
    "unet": (UNet, ["inc", "down1", "down2", "up1", "up2", "outc"]),
    "mlp": (mlp, ["0", "2", "4"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_group_per_block_between_stem_and_head(name):
    build, wanted = MODELS[name]
    model = build()
    groups = group_layers(model)
    assert [group.name for group in groups] == wanted
    assert [group.is_head for group in groups] == [False] * (len(groups) - 1) + [True]
    found = [id(p) for group in groups for p in group.parameters]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("limit", [2, 4, 7])
def test_max_groups_keeps_order_and_head(name, limit):
    model = MODELS[name][0]()
    every, merged = group_layers(model), group_layers(model, max_groups=limit)
    assert len(merged) == min(limit, len(every))
    assert merged[-1] == every[-1]
    order = [n for group in every for n in group.parameter_names]
    assert [n for group in merged for n in group.parameter_names] == order


def test_a_tied_head_is_the_embedding_and_counted_once():
    (head,) = [g for g in group_layers(gpt2_tied()) if g.is_head]
    assert head.parameter_names == ("transformer.wte.weight",)


def test_a_backbone_without_a_head_has_none():
    body = transformers.ResNetModel(transformers.ResNetConfig(depths=[1, 1, 1, 1], **BASIC))
    groups = group_layers(body)
    assert not any(group.is_head for group in groups)
    assert [group.name for group in groups][-1] == "encoder.stages.3.layers.0"
    found = [id(p) for group in groups for p in group.parameters]
    assert sorted(found) == sorted(id(p) for p in body.parameters())


def test_a_head_is_found_through_a_wrapping_module():
    class Lightning(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = nn.CrossEntropyLoss()
            self.model = bert()

    names = [group.name for group in group_layers(Lightning())]
    assert names == [f"model.{name}" for name in MODELS["bert"][1]]


def test_only_what_low_rank_adapters_train_is_grouped_by_block():
    model = bert()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("query" in name or "classifier" in name)
    names = [group.name for group in group_layers(model)]
    assert names == [*counted("bert.encoder.layer.{}"), "classifier"]
