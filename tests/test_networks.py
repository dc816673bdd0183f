"""The contract of pretrained networks, over libraries: features, heads, sizes, groups."""

import copy
import pickle

import pytest
import torch
from network_cases import RESNET, SMALL, VIT, write_config
from torch import nn

from l2o.envs.networks import LIBRARIES
from l2o.envs.networks.load import load_network
from l2o.layers.groups import group_layers

WHOLE = [
    "timm:resnet10t",
    "timm:tf_efficientnet_lite0",
    "timm:test_vit",
    "timm:deit_tiny_distilled_patch16_224",
    "timm:test_convnext",
    "torchvision:resnet18",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:mobilenet_v3_small",
    "torchvision:squeezenet1_1",
    "transformers:resnet",
    "transformers:vit",
    "network_cases:own",
]
DENSE = [
    "torchvision:deeplabv3_mobilenet_v3_large",
    "torchvision:lraspp_mobilenet_v3_large",
    "l2o:deeplabv2_resnet50",
]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Load by name, each network once; those of transformers from small folders."""
    folder = tmp_path_factory.mktemp("hub")
    small = {
        "transformers:resnet": write_config(folder / "resnet", RESNET),
        "transformers:vit": write_config(folder / "vit", VIT),
    }
    held = {}

    def get(name, **options):
        key = (name, repr(options))
        if key not in held:
            given = {"classes": 5, "pretrained": False, "inputs": SMALL, **options}
            held[key] = load_network(small.get(name, name), **given)
        return held[key]

    return get


def test_every_library_is_covered():
    assert {name.partition(":")[0] for name in WHOLE + DENSE} >= set(LIBRARIES) - {"smp"}
    assert all(library.module for library in LIBRARIES.values())


def images(network, number=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(number, 3, *network.inputs.size, generator=generator)


@pytest.mark.parametrize("name", WHOLE + DENSE)
def test_a_network_is_whole(load, name):
    network = load(name)
    model = network.build().eval()
    assert network.inputs.size == (64, 64)
    x = images(network)
    with torch.no_grad():
        features = model.forward_features(x)
        before = features.clone()
        logits = model.forward_head(features)
        proxy = network.proxy_head(features)
        assert torch.equal(features, before)
        assert torch.equal(model(x), logits)
        assert torch.equal(network.build().eval()(x), logits)
    assert logits.shape[:2] == (2, 5)
    assert logits.dim() == (4 if name in DENSE else 2)
    assert proxy.shape == (2, network.proxy_classes)
    assert network.classes == 5
    assert not any(p.requires_grad for p in network.proxy_head.parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", WHOLE + DENSE)
def test_the_new_head_is_the_last_layer_group_and_can_be_drawn(load, name):
    network = load(name)
    model = network.build()
    head = model.get_classifier()
    assert isinstance(head, nn.Module)
    groups = group_layers(model, head=head)
    assert network.layers == len(groups)
    assert len(groups) >= 3
    assert [group.is_head for group in groups] == [False] * (len(groups) - 1) + [True]
    assert {id(p) for p in groups[-1].parameters} == {id(p) for p in head.parameters()}
    assert any(hasattr(module, "reset_parameters") for module in head.modules())


@pytest.mark.parametrize("name", WHOLE + DENSE)
def test_every_parameter_is_trained(load, name):
    network = load(name)
    model = network.build().eval()
    features = model.forward_features(images(network))
    (model.forward_head(features).square().mean()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize("name", WHOLE)
def test_the_proxy_head_answers_as_the_original_network(load, name):
    network = load(name)
    original = load_original(load, name, network)
    x = images(network)
    model = network.build().eval()
    with torch.no_grad():
        wanted = original(x)
        found = network.proxy_head(model.forward_features(x))
    assert torch.equal(found, wanted)


def load_original(load, name, network):
    """Return the library's own network, with its own classifier, built without our code."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        library, _, architecture = network.name.partition(":")
        if library == "timm":
            import timm

            model = timm.create_model(architecture)
            if "img_size" in network.description["arguments"]:
                model.set_input_size(img_size=(64, 64))
        elif library == "torchvision":
            from torchvision.models import get_model

            model = get_model(architecture)
        elif library == "transformers":
            from transformers import AutoConfig, AutoModelForImageClassification

            config = AutoConfig.from_pretrained(architecture)
            whole = AutoModelForImageClassification.from_config(config).eval()
            options = {"interpolate_pos_encoding": True} if config.model_type == "vit" else {}
            return lambda x: whole(pixel_values=x, **options).logits
        else:
            from network_cases import own

            model = own()
    return model.eval()


@pytest.mark.parametrize("name", ["timm:resnet10t", "transformers:vit", "network_cases:own"])
def test_a_head_of_two_layers(load, name):
    network = load(name, head={"name": "mlp", "hidden": 9})
    head = network.build().get_classifier()
    first, rectifier, last = head
    assert isinstance(rectifier, nn.ReLU)
    assert (first.out_features, last.in_features, last.out_features) == (9, 9, 5)
    model = network.build()
    assert {id(p) for p in group_layers(model, head=model.get_classifier())[-1].parameters} == {
        id(p) for p in model.get_classifier().parameters()
    }


@pytest.mark.parametrize("name", ["timm:tf_efficientnet_lite0", "torchvision:resnet18"])
def test_a_head_that_classifies_pixels(load, name):
    whole, network = load(name), load(name, head={"name": "fcn", "hidden": 6})
    model, x = network.build().eval(), images(network)
    with torch.no_grad():
        features = model.forward_features(x)
        assert model.forward_head(features).shape == (2, 5, 2, 2)
        wanted = whole.proxy_head(whole.build().eval().forward_features(x))
        assert torch.equal(network.proxy_head(features), wanted)
    assert [type(m).__name__ for m in model.get_classifier()] == ["Conv2d", "ReLU", "Conv2d"]
    model(x).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("name", ["timm:tf_efficientnet_lite0", "torchvision:resnet50"])
def test_dilated_maps_have_more_places_and_the_same_weights(load, name, stride):
    plain = load(name, head="fcn").build().state_dict()
    network = load(name, head={"name": "fcn", "output_stride": stride})
    model, x = network.build().eval(), images(network)
    with torch.no_grad():
        features = model.forward_features(x)
    assert features.shape[-2:] == (x.shape[-2] // stride, x.shape[-1] // stride)
    dilated = model.state_dict()
    assert all(torch.equal(plain[name], dilated[name]) for name in plain)


def test_maps_with_channels_last_are_turned(load):
    whole = load("timm:swin_tiny_patch4_window7_224", inputs={"size": [64, 64]})
    network = load("timm:swin_tiny_patch4_window7_224", head="fcn", inputs={"size": [64, 64]})
    model, x = network.build().eval(), images(network)
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (2, 768, 2, 2)
        wanted = whole.proxy_head(whole.build().eval().forward_features(x))
        assert torch.equal(network.proxy_head(features), wanted)


def test_what_is_drawn_is_the_same_every_time_and_leaves_the_random_state_alone(load):
    before = torch.get_rng_state()
    one, other = (
        load_network("timm:resnet10t", classes=5, pretrained=False).build().state_dict()
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_training_one_network_leaves_the_others_and_the_proxy_head_alone(load):
    network = load("network_cases:own")
    kept = copy.deepcopy(network.build().state_dict())
    proxy = copy.deepcopy(network.proxy_head.state_dict())
    model = network.build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(t, kept[n]) for n, t in network.build().state_dict().items())
    assert all(torch.equal(t, proxy[n]) for n, t in network.proxy_head.state_dict().items())


@pytest.mark.parametrize("name", ["timm:resnet10t", "torchvision:lraspp_mobilenet_v3_large"])
def test_a_network_may_be_sent_to_another_process(load, name):
    network = load(name)
    sent, x = pickle.loads(pickle.dumps(network)), images(network)
    with torch.no_grad():
        assert torch.equal(sent.build().eval()(x), network.build().eval()(x))
    assert sent.inputs == network.inputs


def test_the_proxy_head_holds_only_what_it_calls_and_stays_in_evaluation_mode(load):
    head = load("timm:resnet10t").proxy_head
    assert sum(p.numel() for p in head.parameters()) == 513_000
    assert not any(module.training for module in head.train().modules())


def test_a_network_without_a_classifier_has_its_features_for_logits(load):
    network = load("timm:vit_small_patch14_dinov2", inputs={"size": [56, 56]})
    assert network.proxy_classes == 384
    model, x = network.build().eval(), images(network)
    features = model.forward_features(x)
    assert torch.equal(network.proxy_head(features), model.forward_head(features, pre_logits=True))
    assert model.get_classifier().out_features == 5
