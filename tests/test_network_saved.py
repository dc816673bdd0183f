"""Fine-tuned networks on disk: libraries load them back by themselves, to the bit."""

import json

import pytest
import torch
from network_cases import RESNET, SMALL, write_config
from safetensors.torch import load_file

from l2o.envs.networks.load import load_network
from l2o.envs.networks.saved import CARD, WEIGHTS, load_finetuned, save_network
from l2o.files.atomic import DamagedFileError

CLASSES = ("bus", "car", "train")
NAMES = [
    "timm:resnet10t",
    "timm:test_vit",
    "timm:deit_tiny_distilled_patch16_224",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:googlenet",
    "torchvision:lraspp_mobilenet_v3_large",
    "transformers:resnet",
]


def trained(network):
    """Return a network whose every tensor differs from what was loaded, and what it answers."""
    model = network.build()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
        images = torch.randn(2, 3, *network.inputs.size)
        return model, images, model.eval()(images)


def load(name, folder, **options):
    if name == "transformers:resnet":
        name = write_config(folder / "hub", RESNET)
    return load_network(name, classes=3, pretrained=False, inputs=SMALL, **options)


@pytest.fixture(scope="module", params=NAMES)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    network = load(request.param, folder)
    model, images, answer = trained(network)
    save_network(model, network, folder / "model", CLASSES)
    return network, folder / "model", images, answer


def test_the_library_loads_it_back_as_the_card_says(saved, monkeypatch):
    network, folder, images, answer = saved
    lines = json.loads((folder / CARD).read_text())["load"]
    assert sum(not line.startswith(("import ", "from ")) for line in lines) <= 2
    monkeypatch.chdir(folder)
    found = {}
    exec("\n".join(lines), found)
    assert "l2o" not in "".join(lines)
    with torch.no_grad():
        again = found["network"].eval()(images)
    if network.name.endswith("lraspp_mobilenet_v3_large"):
        scale = torch.nn.functional.interpolate
        answer = scale(answer, size=(64, 64), mode="bilinear", align_corners=False)
        again = again["out"]
    assert torch.equal(getattr(again, "logits", again), answer)


def test_we_load_it_back(saved):
    network, folder, images, answer = saved
    found = load_finetuned(folder)
    assert (found.classes, found.inputs, found.name) == (CLASSES, network.inputs, network.name)
    assert not found.network.training
    with torch.no_grad():
        assert torch.equal(found.network(images), answer)
    assert found.card["pretrained"]["weights_sha256"] == network.description["weights_sha256"]
    assert set(found.card["packages"]) >= {"l2o", "torch"}


def test_a_library_sees_its_own_names(tmp_path):
    from torchvision.models import get_model

    network = load("torchvision:shufflenet_v2_x0_5", tmp_path)
    save_network(network.build(), network, tmp_path)
    wanted = get_model("shufflenet_v2_x0_5", num_classes=3).state_dict()
    assert set(load_file(tmp_path / WEIGHTS)) == set(wanted)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("timm:test_vit", {"name": "mlp", "hidden": 6}),
        ("timm:resnet10t", {"name": "fcn", "hidden": 6}),
        ("timm:resnet10t", {"name": "fcn", "hidden": 6, "output_stride": 16}),
        ("transformers:resnet", {"name": "mlp", "hidden": 6}),
        ("l2o:deeplabv2_resnet50", "linear"),
    ],
)
def test_other_heads_are_loaded_by_us(tmp_path, name, head):
    network = load(name, tmp_path, head=head)
    model, images, answer = trained(network)
    save_network(model, network, tmp_path / "model", CLASSES)
    found = load_finetuned(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(found.network(images), answer)
    assert "load_finetuned" in found.card["load"][0]


def test_transformers_knows_the_names_of_classes(tmp_path):
    from transformers import AutoModelForImageClassification

    network = load("transformers:resnet", tmp_path)
    save_network(network.build(), network, tmp_path / "model", CLASSES)
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "model")
    assert model.config.id2label == dict(enumerate(CLASSES))


def test_a_network_of_ones_own_is_made_only_where_code_is_allowed(tmp_path):
    network = load("network_cases:own", tmp_path)
    model, images, answer = trained(network)
    save_network(model, network, tmp_path / "model")
    with pytest.raises(ValueError, match=r"names code, 'network_cases:own'.*allow_code=True"):
        load_finetuned(tmp_path / "model")
    found = load_finetuned(tmp_path / "model", allow_code=True)
    with torch.no_grad():
        assert torch.equal(found.network(images), answer)


def test_of_a_compiled_network_what_was_compiled_is_saved(tmp_path):
    network = load("network_cases:own", tmp_path)
    model = network.build()
    save_network(torch.compile(model), network, tmp_path / "model")
    assert set(load_file(tmp_path / "model" / WEIGHTS)) == set(model.state_dict())


@pytest.fixture
def folder(tmp_path):
    network = load("network_cases:own", tmp_path)
    return save_network(network.build(), network, tmp_path / "model", CLASSES)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def change(path):
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
@pytest.mark.parametrize("harm", [cut, change, lambda path: path.unlink()])
def test_damaged_files_are_refused(folder, name, harm):
    harm(folder / name)
    with pytest.raises(DamagedFileError, match=name):
        load_finetuned(folder, allow_code=True)


def test_a_newer_format_is_refused(folder):
    card = json.loads((folder / CARD).read_text())
    card.pop("sha256")
    (folder / CARD).write_text(json.dumps(card | {"format": 2}))
    with pytest.raises(ValueError, match=r"is of format 2, .* reads 1"):
        load_finetuned(folder, allow_code=True)


def test_a_card_without_a_field_is_refused(folder):
    card = json.loads((folder / CARD).read_text())
    del card["sha256"], card["outputs"]
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(DamagedFileError, match="has no outputs"):
        load_finetuned(folder, allow_code=True)


def test_as_many_names_as_outputs(tmp_path):
    network = load("network_cases:own", tmp_path)
    with pytest.raises(ValueError, match="2 names of classes for a network of 3 outputs"):
        save_network(network.build(), network, tmp_path, ("a", "b"))
