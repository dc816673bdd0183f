"""Networks that classify pixels: the papers' and torchvision's, to the exact numbers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import get_model
from torchvision.models.vgg import make_layers

from l2o.envs.networks.deeplabv2 import RATES, DeepLabV2
from l2o.envs.networks.fcn8s import Doubling, Fcn8s
from l2o.envs.networks.load import load_network
from l2o.envs.networks.packing import Packing
from l2o.envs.networks.torchvision_networks import TorchvisionNetwork
from l2o.envs.networks.torchvision_segmentation import BACKBONES
from l2o.envs.networks.trimming import ProxyHead
from l2o.layers.groups import group_layers

SMALL_VGG = [2, 2, "M", 3, 3, "M", 4, 4, 4, "M", 5, 5, 5, "M", 6, 6, 6, "M"]


class VGG(nn.Module):
    """VGG-16 as torchvision has it, with a few channels."""

    def __init__(self):
        super().__init__()
        self.features = make_layers(SMALL_VGG)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            *(nn.Linear(6 * 49, 8), nn.ReLU(True), nn.Dropout()),
            *(nn.Linear(8, 9), nn.ReLU(True), nn.Dropout(), nn.Linear(9, 10)),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytest.fixture
def vgg():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VGG().eval()
        for layer in network.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    return network


def images(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (75, 101), (39, 63)])
def test_fcn8s_is_the_papers(vgg, size):
    network = Fcn8s(TorchvisionNetwork(vgg), classes=4).eval()
    x = images(*size)
    pool3, pool4, pool5 = (vgg.features[:cut](x) for cut in (17, 24, 31))
    deep = functional.relu(
        functional.conv2d(pool5, reshaped(vgg, 0, 7), padding=3, bias=bias(vgg, 0))
    )
    deep = functional.relu(functional.conv2d(deep, reshaped(vgg, 3, 1), bias=bias(vgg, 3)))
    head = network.classifier
    score = double(head.score(deep), pool4.shape[-2:]) + head.score_pool4(pool4)
    wanted = double(score, pool3.shape[-2:]) + head.score_pool3(pool3)
    with torch.no_grad():
        found = network(x)
    assert found.shape == (2, 4, size[0] // 8, size[1] // 8)
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-5, atol=1e-6)


def reshaped(vgg, number, side):
    weight = vgg.classifier[number].weight
    return weight.view(weight.shape[0], -1, side, side)


def bias(vgg, number):
    return vgg.classifier[number].bias


def double(scores, size):
    """Scale scores to twice their size, bilinearly, nothing beyond the border."""
    channels = scores.shape[1]
    slope = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = (slope[:, None] * slope).expand(channels, 1, 4, 4)
    doubled = functional.conv_transpose2d(scores, kernel, stride=2, groups=channels)
    return doubled[..., 1 : 1 + size[0], 1 : 1 + size[1]]


@pytest.mark.parametrize("size", [(64, 64), (75, 101)])
def test_the_proxy_head_of_fcn8s_answers_as_vgg(vgg, size):
    backbone = TorchvisionNetwork(vgg)
    network, x = Fcn8s(backbone, classes=4).eval(), images(*size)
    with torch.no_grad():
        proxy = network.proxy_of(ProxyHead(backbone, backbone.forward_features(x)))
        assert torch.equal(proxy(network.forward_features(x)), vgg(x))


def test_the_head_of_fcn8s_is_its_scores_and_fc6_and_fc7_keep_their_weights(vgg):
    network = Fcn8s(TorchvisionNetwork(vgg), classes=4)
    names = [group.name for group in group_layers(network, head=network.get_classifier())]
    assert names[-3:] == ["fc6", "fc7", "classifier"]
    assert torch.equal(network.fc7.weight.flatten(1), vgg.classifier[3].weight)
    before = copy.deepcopy(vgg.state_dict())
    network(images(64, 64)).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert all(torch.equal(t, before[n]) for n, t in vgg.state_dict().items())


def test_doubling_begins_bilinear_and_is_so_again_when_it_is_drawn():
    layer = Doubling(2)
    ramp = torch.arange(6.0).expand(1, 2, 6, 6)
    with torch.no_grad():
        found = layer.at_size(ramp, torch.Size([12, 12]))[..., 1:-1, 1:-1]
        layer.weight.add_(1.0)
        layer.reset_parameters()
        again = layer.at_size(ramp, torch.Size([12, 12]))[..., 1:-1, 1:-1]
    torch.testing.assert_close(found, (torch.arange(10) / 2 + 0.25).expand(1, 2, 10, 10))
    assert torch.equal(found, again)


def test_deeplabv2_is_the_papers():
    backbone = TorchvisionNetwork(get_model("resnet18"))
    # A ResNet of basic blocks cannot be dilated by torchvision; what is tested needs no dilation.
    network = DeepLabV2(backbone, get_model("resnet18"), classes=4).eval()
    backbone.eval()
    x = images(64, 64)
    with torch.no_grad():
        features = network.forward_features(x)
        assert torch.equal(features, backbone.forward_features(x))
        layers = network.classifier.rates
        wanted = sum(
            functional.conv2d(features, layer.weight, layer.bias, padding=rate, dilation=rate)
            for layer, rate in zip(layers, RATES, strict=True)
        )
        torch.testing.assert_close(network(x), wanted)
    assert RATES == (6, 12, 18, 24)
    assert all(not layer.bias.any() and layer.weight.std() < 0.012 for layer in layers)


def test_deeplabv2s_backbone_has_stride_8_and_its_proxy_head_is_the_dilated_resnets():
    network = load_network(
        "l2o:deeplabv2_resnet50", classes=4, pretrained=False, inputs={"size": 64}
    )
    model, x = network.build().eval(), images(64, 64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = get_model("resnet50")
    dilated = get_model("resnet50", replace_stride_with_dilation=[False, True, True]).eval()
    dilated.load_state_dict(plain.state_dict())
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (2, 2048, 8, 8)
        assert model.forward_head(features).shape == (2, 4, 8, 8)
        assert torch.equal(network.proxy_head(features), dilated(x))


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_torchvisions_are_torchvisions(name):
    network = load_network(f"torchvision:{name}", classes=4, pretrained=False, inputs={"size": 64})
    model, x = network.build().eval(), images(64, 72)
    with torch.no_grad():
        logits = model(x)
        scaled = functional.interpolate(logits, (64, 72), mode="bilinear", align_corners=False)
        assert torch.equal(scaled, model.network(x)["out"])
        assert network.proxy_head(model.forward_features(x)).shape == (2, 1000)


@pytest.mark.parametrize("name", ["l2o:fcn8s_vgg16", *(f"torchvision:{n}" for n in BACKBONES)])
def test_every_network_for_pixels_can_be_made(name):
    with torch.device("meta"):
        network = load_network(name, classes=19, pretrained=False, inputs={"size": 64})
        model = network.build().eval()
        features = model.forward_features(torch.zeros(2, 3, 64, 64))
        assert model.forward_head(features).shape[:2] == (2, 19)
        assert network.proxy_head(features).shape == (2, 1000)
    assert network.layers > 10


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (9, 15), (13, 10), (4, 7)])
def test_packed_maps_come_back_to_the_bit(size, up):
    packing = Packing((3, 2, 1), (0, 1, 2), up)
    maps, (height, width) = [], size
    for channels in (3, 2, 1):
        maps.append(torch.randn(2, channels, height, width, requires_grad=True))
        height, width = (height + up) // 2, (width + up) // 2
    packed = packing.pack(maps)
    assert packed.shape == (2, 6, *size)
    for found, wanted in zip(packing.unpack(packed), maps, strict=True):
        assert torch.equal(found, wanted)
    sum(each.sum() for each in packing.unpack(packed)).backward()
    assert all(torch.equal(each.grad, torch.ones_like(each)) for each in maps)


def test_smp_is_smp():
    smp = pytest.importorskip("segmentation_models_pytorch")
    import timm

    network = load_network("smp:unet/resnet18", classes=4, pretrained=False, inputs={"size": 64})
    model, x = network.build().eval(), images(64, 64)
    assert isinstance(model.network, smp.Unet)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = timm.create_model("resnet18").eval()
    with torch.no_grad():
        features = model.forward_features(x)
        assert torch.equal(model.forward_head(features), model.network(x))
        torch.testing.assert_close(network.proxy_head(features), original(x))
