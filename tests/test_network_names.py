"""Names, options and inputs of pretrained networks, and what is said of wrong ones."""

import sys

import pytest
import timm
import torch
import torchvision
from network_cases import RESNET, VIT, write_config

from l2o.envs.networks import LIBRARIES
from l2o.envs.networks.base import Inputs
from l2o.envs.networks.load import load_network
from l2o.extras import MissingExtraError


def load(name, **options):
    return load_network(name, **{"classes": 3, "pretrained": False, **options})


WRONG_NAMES = {
    "resnet50": "unknown network 'resnet50'. Did you mean 'timm:resnet50'?",
    "tim:resnet50": "Did you mean 'timm:resnet50'?",
    "timm:resnet5O": "unknown network 'timm:resnet5O'. Did you mean 'timm:resnet50'",
    "timm:": "names no architecture; write timm:NAME",
    "timm:resnet50.a1_in2k": "Did you mean 'timm:resnet50.a1_in1k'",
    "torchvision:resnet5O": "Did you mean 'torchvision:resnet50'",
    "torchvision:lraspp": "unknown network 'torchvision:lraspp'",
    "torchvision:resnet50.IMAGENET1K_V3": "Did you mean 'torchvision:resnet50.IMAGENET1K_V",
    "transformers:resnett": "Did you mean 'transformers:resnet'",
    "l2o:fcn8_vgg16": "Did you mean 'l2o:fcn8s_vgg16'?",
    "nowhere": "A network's name reads library:architecture with a library of timm, torchvision",
    "no_such_module:function": "must be importable from here",
    "network_cases:nothing": "cannot import network 'network_cases:nothing'",
    "network_cases:RESNET": "is dict; give a function",
    "network_cases:no_network": "returned int, no nn.Module",
    "network_cases:without_convention": "has no forward_features, forward_head, get_classifier",
    "network_cases:unlike": "forward_head(forward_features(x)) is not what the network gives",
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_unknown_names_have_one_message_with_the_nearest(name):
    with pytest.raises(ValueError) as error:
        load(name)
    assert WRONG_NAMES[name] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"head": "mpl"}, "unknown head 'mpl'. Did you mean 'mlp'?"),
        ({"head": {"name": "mlp", "hiden": 3}}, "no option 'hiden'. Did you mean 'hidden'?"),
        ({"head": {"name": "mlp", "hidden": 0}}, "hidden=0 must be a whole number from 1"),
        ({"head": {"name": "fcn", "hidden": True}}, "hidden=True must be a whole number from 1"),
        ({"head": {"name": "fcn", "output_stride": 7}}, "=7 must be one of [8, 16, 32]"),
        ({"head": {"name": "fcn", "output_stride": 8}}, "network_cases:own cannot be built with"),
        ({"head": {"hidden": 3}}, "has no name"),
        ({"head": {"name": "linear", "bias": False}}, "no option 'bias'"),
        ({"classes": 0}, "classes=0 must be a whole number from 1"),
        ({"inputs": {"sise": 3}}, "inputs have no field 'sise'. Did you mean 'size'?"),
        ({"inputs": {"size": [0, 3]}}, "size=(0, 3) must be height and width"),
        ({"inputs": {"size": [3]}}, "size=(3,) must be height and width"),
        ({"inputs": {"mean": [0.5]}}, "mean=(0.5,) must be three numbers"),
        ({"inputs": {"std": [0.5, 0.5, 0]}}, "std=(0.5, 0.5, 0) must be positive"),
        ({"inputs": {"interpolation": "bicubik"}}, "Did you mean 'bicubic'?"),
        ({"inputs": {"crop_share": 1.5}}, "crop_share=1.5 must be above 0 and at most 1"),
    ],
)
def test_wrong_options_have_one_message(options, told):
    with pytest.raises(ValueError) as error:
        load("network_cases:own", **options)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["timm:test_vit", "torchvision:resnet18", "l2o:fcn8s_vgg16"])
def test_networks_that_cannot_be_dilated_say_so(name):
    with pytest.raises(ValueError, match=f"{name} cannot be built with another stride"):
        load(name, head={"name": "fcn", "output_stride": 16}, inputs={"size": 64})


@pytest.mark.parametrize("name", ["l2o:deeplabv2_resnet50", "torchvision:fcn_resnet50"])
def test_networks_for_pixels_have_heads_of_their_own(name):
    with torch.device("meta"), pytest.raises(ValueError, match="head mlp: this network classifies"):
        load(name, head="mlp", inputs={"size": 64})


def test_pixels_need_maps(tmp_path):
    name = write_config(tmp_path, RESNET)
    with pytest.raises(ValueError, match=r"needs a feature map .*\(1, 12, 1, 1\)"):
        load(name, head="fcn", inputs={"size": 16})


@pytest.mark.parametrize(("library", "module"), [("timm", "timm"), ("torchvision", "torchvision")])
def test_a_library_that_is_missing_has_one_message(monkeypatch, library, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "l2o\[vision\]"'):
        load(f"{library}:resnet18")


def test_smp_that_is_missing_has_one_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingExtraError, match="pip install segmentation-models-pytorch"):
        load("smp:unet/resnet18")


def no_network(*arguments, **options):
    raise OSError("Name or service not known")


def test_weights_that_cannot_be_had_say_how_to_give_a_file(monkeypatch, tmp_path):
    import timm.models._builder as builder
    import transformers

    monkeypatch.setattr(builder, "load_state_dict_from_hf", no_network)
    monkeypatch.setattr(builder, "load_state_dict_from_url", no_network)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", no_network)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", no_network)
    for name in ("timm:resnet10t", "torchvision:resnet18", "transformers:microsoft/resnet-18"):
        with pytest.raises(ValueError, match=r"cannot be had from the hub .*weights=PATH"):
            load_network(name, classes=3)


def test_architectures_without_weights_say_so():
    with pytest.raises(ValueError, match=r"timm has no weights of 'resnet200'.*weights=PATH"):
        load_network("timm:resnet200", classes=3)
    with pytest.raises(ValueError, match="a type of models, without weights of its own"):
        load_network("transformers:resnet", classes=3)


def test_a_folder_without_a_configuration(tmp_path):
    with pytest.raises(ValueError, match=r"holds no config.json"):
        load(f"transformers:{tmp_path}")


def test_a_local_folder_has_its_weights(tmp_path):
    from transformers import AutoConfig, AutoModelForImageClassification

    write_config(tmp_path, RESNET)
    config = AutoConfig.from_pretrained(tmp_path)
    original = AutoModelForImageClassification.from_config(config).eval()
    original.save_pretrained(tmp_path)
    found = load_network(f"transformers:{tmp_path}", classes=3, inputs={"size": 16})
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        features = found.build().eval().forward_features(images)
        assert torch.equal(found.proxy_head(features), original(images).logits)
    assert found.proxy_classes == 7


# Inputs ---------------------------------------------------------------------------------------


def test_inputs_of_timm_are_its_pretrained_cfg():
    found = load("timm:resnet10t").inputs
    config = timm.get_pretrained_cfg("resnet10t")
    assert found.size == config.input_size[1:]
    assert (found.mean, found.std) == (config.mean, config.std)
    assert (found.interpolation, found.crop_share) == (config.interpolation, config.crop_pct)


def test_inputs_of_torchvision_are_its_transforms():
    found = load("torchvision:mobilenet_v3_small").inputs
    assert found == Inputs((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    assert load("torchvision:shufflenet_v2_x0_5").inputs.crop_share == 224 / 256


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
            {"size": (224, 224), "crop_share": 0.875},
        ),
        (
            {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3},
            {"size": (224, 224), "crop_share": 0.875, "interpolation": "bicubic"},
        ),
        (
            {"size": {"height": 48, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            {"size": (48, 32), "crop_share": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3},
        ),
        ({"size": 32, "do_normalize": False}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}),
    ],
)
def test_inputs_of_transformers_are_its_image_processors(tmp_path, processor, wanted):
    kind = {"image_processor_type": "ConvNextImageProcessor"}
    found = load(write_config(tmp_path, RESNET, kind | processor)).inputs
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_without_an_image_processor_the_size_is_the_models(tmp_path):
    assert load(write_config(tmp_path, VIT)).inputs.size == (32, 32)


def test_the_user_may_set_some_inputs_and_keep_the_others():
    found = load("timm:resnet10t", inputs={"size": 48, "interpolation": "bilinear"}).inputs
    assert (found.size, found.interpolation, found.crop_share) == ((48, 48), "bilinear", 0.875)
    given = Inputs((48, 48), crop_share=1.0)
    assert load("timm:resnet10t", inputs=given).inputs == given


@pytest.mark.parametrize(
    "name", ["timm:test_vit", "timm:visformer_tiny", "torchvision:vit_b_32", "transformers:vit"]
)
def test_transformers_take_another_size(name, tmp_path):
    if name == "transformers:vit":
        name = write_config(tmp_path, VIT)
    network = load(name, inputs={"size": 96})
    assert network.build().eval()(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("torchvision:maxvit_t", 64, "takes images of one size only"),
        ("torchvision:vit_b_32", 65, "takes squares, of a multiple of its patches' 32"),
        ("timm:test_vit", 65, "does not take images of"),
        ("timm:inception_v3", 32, "does not take images of [32, 32]"),
    ],
)
def test_sizes_that_a_network_does_not_take_are_refused(name, size, told):
    with torch.device("meta"), pytest.raises(ValueError) as error:
        load(name, inputs={"size": size})
    assert told in str(error.value)


def test_the_table_is_of_paths_that_are_imported_when_used():
    assert all(path.startswith("l2o.envs.networks.") for path in LIBRARIES.paths.values())
