"""FCN8s on VGG-16: classes of pixels from three depths of a network for whole images.

Source: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.networks.packing import Packing
from l2o.envs.networks.torchvision_segmentation import OfLast


class Doubling(nn.ConvTranspose2d):
    """Scales maps to twice their size, at first bilinearly, each channel by itself.

    Args:
        channels: of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, bias=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Begin with bilinear interpolation, as the paper does."""
        slope = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.weight.zero_()
        for channel in range(self.in_channels):
            self.weight[channel, channel] = slope[:, None] * slope

    def at_size(self, x: Tensor, size: torch.Size) -> Tensor:
        """Return maps at a size that is twice theirs, or one more."""
        doubled: Tensor = self(x)
        return doubled[..., 1 : 1 + size[0], 1 : 1 + size[1]]


class Fcn8sHead(nn.Module):
    """Scores at strides 32, 16 and 8, added up from the coarsest to the finest.

        s16 = double(score(h32)) + score(pool4),   s8 = double(s16) + score(pool3)

    Args:
        channels: of pool3, of pool4, and of the last layer.
        classes: of pixels.
    """

    def __init__(self, channels: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.score_pool3 = nn.Conv2d(channels[0], classes, 1)
        self.score_pool4 = nn.Conv2d(channels[1], classes, 1)
        # Not zeros, as in the paper: the steps of a layer are measured against its weights.
        self.score = nn.Conv2d(channels[2], classes, 1)
        self.double_score = Doubling(classes)
        self.double_pool4 = Doubling(classes)

    def forward(self, pool3: Tensor, pool4: Tensor, last: Tensor) -> Tensor:
        """Return logits `[N, K, h, w]` of pool3's size."""
        fine, middle = self.score_pool3(pool3), self.score_pool4(pool4)
        middle = middle + self.double_score.at_size(self.score(last), middle.shape[-2:])
        return fine + self.double_pool4.at_size(middle, fine.shape[-2:])


class Fcn8s(nn.Module):
    """FCN8s on VGG-16.

    Its features are pool3, pool4 and pool5, packed into one tensor of stride 8. `forward_head` runs
    VGG's fully connected layers on pool5 as convolutions, `fc6` and `fc7`, which keep their
    weights; new are only the scores. Logits are at stride 8; the objective scales them up, as the
    paper's last layer does, bilinearly.

    Args:
        vgg: torchvision's VGG-16 by timm's convention, with its classifier; its weights are copied.
        classes: of pixels.
    """

    def __init__(self, vgg: Any, classes: int) -> None:
        super().__init__()
        # Any: the layers of VGG, by place.
        source = vgg.network
        self.features: Any = copy.deepcopy(source.features)
        pools = [i for i, m in enumerate(self.features) if isinstance(m, nn.MaxPool2d)]
        self.cuts = tuple(pool + 1 for pool in pools[2:5])
        wide, deep = source.classifier[0], source.classifier[3]
        channels = [m.out_channels for m in self.features if isinstance(m, nn.Conv2d)]
        self.packing = Packing((channels[6], channels[9], channels[12]), (0, 1, 2), up=False)
        self.fc6 = nn.Conv2d(channels[12], wide.out_features, 7, padding=3)
        self.fc7 = nn.Conv2d(wide.out_features, deep.out_features, 1)
        for layer, linear in ((self.fc6, wide), (self.fc7, deep)):
            state = {"weight": linear.weight.view_as(layer.weight), "bias": linear.bias}
            layer.load_state_dict(state)
        self.dropout = nn.Dropout()
        self.classifier = Fcn8sHead((channels[6], channels[9], deep.out_features), classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of images `[N, 3, H, W]`."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return pool3, pool4 and pool5 `[N, 256 + 512 + 512, H / 8, W / 8]`, packed."""
        maps, start = [], 0
        for cut in self.cuts:
            for layer in self.features[start:cut]:
                x = layer(x)
            maps.append(x)
            start = cut
        return self.packing.pack(maps)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits `[N, K, H / 8, W / 8]`."""
        pool3, pool4, x = self.packing.unpack(features)
        x = self.dropout(functional.relu(self.fc6(x)))
        x = self.dropout(functional.relu(self.fc7(x)))
        logits: Tensor = self.classifier(pool3, pool4, x)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the scores."""
        return self.classifier

    def proxy_of(self, proxy_head: nn.Module) -> nn.Module:
        """Return the proxy head of packed maps: VGG's pooling and classifier, on pool5."""
        return OfLast(proxy_head, self.packing)
