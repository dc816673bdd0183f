"""Small networks of every library, by name: what the contract tests of networks run over."""

import json

import torch
from torch import nn

SMALL = {"size": [64, 64]}
RESNET = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "embedding_size": 8,
    "hidden_sizes": [8, 12],
    "depths": [1, 2],
    "layer_type": "basic",
    "num_labels": 7,
    "id2label": {str(i): f"c{i}" for i in range(7)},
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
    "id2label": {str(i): f"c{i}" for i in range(7)},
}


def write_config(folder, config, processor=None):
    """Write a folder as transformers reads it, and return the network's name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return f"transformers:{folder}"


class Own(nn.Module):
    """A network of a user's own, by timm's convention."""

    def __init__(self, classes=6):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.block = nn.Conv2d(8, 8, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(8, classes)

    def forward_features(self, x):
        return torch.relu(self.block(torch.relu(self.conv(x))))

    def forward_head(self, features):
        return self.fc(self.dropout(features.mean((2, 3))))

    def get_classifier(self):
        return self.fc

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def own():
    return Own()


class Unlike(Own):
    def forward(self, x):
        return super().forward(x) + 1.0


def unlike():
    return Unlike()


def no_network():
    return 3


def without_convention():
    return nn.Linear(2, 2)
