"""Policy bundles: round trip, and every way to be refused."""

import hashlib
import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import l2o
from l2o.deciding.bundle import CARD, SEAL, WEIGHTS
from l2o.files.seals import seal_json


def policy(multipliers=None, **network):
    spec = l2o.SignalSpec(("present", "is_head", "progress"))
    multipliers = multipliers or l2o.LogRange(0.01, 2.0)
    torch.manual_seed(0)
    made = l2o.LayerPolicyNetwork(3, multipliers.outputs, hidden=8, **network)
    with torch.no_grad():
        made.head[-1].weight.mul_(100)
    return l2o.LearnedPolicy(made, multipliers, spec, interval=7)


@pytest.fixture
def bundle(tmp_path):
    return l2o.save_policy(tmp_path / "bundle", policy(), {"name": "test", "seed": 3})


@pytest.mark.parametrize(
    "network",
    [{}, {"recurrent": True}, {"pooling": "attention"}, {"pooling": "none", "recurrent": True}],
    ids=lambda network: "-".join(map(str, network.values())) or "plain",
)
@pytest.mark.parametrize("multipliers", [l2o.LogRange(0.01, 2.0), l2o.Bins()], ids=["log", "bins"])
def test_round_trip_decides_bit_equal(tmp_path, network, multipliers):
    saved = policy(multipliers, **network)
    loaded = l2o.load_policy(l2o.save_policy(tmp_path, saved, {}))
    states = saved.initial_state(5), loaded.initial_state(5)
    torch.manual_seed(1)
    for _ in range(3):
        observation = torch.cat([torch.ones(5, 1), torch.randn(5, 2)], dim=1)
        (a, state_a), (b, state_b) = saved(observation, states[0]), loaded(observation, states[1])
        assert torch.equal(a, b)
        states = state_a, state_b
    assert len(set(a.tolist())) > 1
    assert loaded.interval == 7
    assert loaded.signals == saved.signals


def test_the_card_tells_what_is_needed(bundle):
    card = l2o.read_card(bundle)
    assert card["name"] == "test"
    assert card["architecture"] == {"features": 3, "outputs": 1, "hidden": 8, "recurrent": False}
    assert card["signals"]["names"] == ["present", "is_head", "progress"]
    assert card["licence"] == "Apache-2.0"
    assert len(card["sha256"]) == 64


def change_card(bundle, **fields):
    card = json.loads((bundle / CARD).read_text())
    card.update(fields)
    (bundle / CARD).write_text(json.dumps(seal_json(card, SEAL)))


def test_damaged_weights(bundle):
    data = bytearray((bundle / WEIGHTS).read_bytes())
    data[-3] ^= 0xFF
    (bundle / WEIGHTS).write_bytes(data)
    with pytest.raises(l2o.BundleError, match="weights are damaged"):
        l2o.load_policy(bundle)


def test_truncated_weights(bundle):
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:40])
    with pytest.raises(l2o.BundleError, match="damaged"):
        l2o.load_policy(bundle)


class Bomb:
    """Would leave a mark if anything unpickled it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("form", ["pickle", "torch zip"])
def test_pickled_weights_are_never_executed(bundle, tmp_path, form):
    mark = tmp_path / "executed"
    payload = pickle.dumps(Bomb(mark))
    if form == "torch zip":
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
            archive.writestr("archive/data.pkl", payload)
        payload = (tmp_path / "z.zip").read_bytes()
    (bundle / WEIGHTS).write_bytes(payload)
    change_card(bundle, sha256=hashlib.sha256(payload).hexdigest())
    with pytest.raises(l2o.BundleError, match="no policy that l2o can run"):
        l2o.load_policy(bundle)
    assert not mark.exists()


def test_foreign_weights(bundle, tmp_path):
    save_file({"weight": torch.ones(3)}, bundle / WEIGHTS)
    digest = hashlib.sha256((bundle / WEIGHTS).read_bytes()).hexdigest()
    change_card(bundle, sha256=digest)
    with pytest.raises(l2o.BundleError, match="no policy that l2o can run"):
        l2o.load_policy(bundle)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 99}, "upgrade l2o"),
        ({"format": "x"}, "upgrade l2o"),
        ({"signals": {"names": ["present", "a", "b"], "version": 1}}, "unknown signal 'a'"),
        ({"signals": {"names": ["present", "depth"], "version": 1}}, "takes 3 features"),
        ({"signals": {"names": ["present", "depth", "loss"], "version": 2}}, "signal version 2"),
        ({"multipliers": {"kind": "log", "low": -1, "high": 1}}, "0 < low < high"),
        ({"architecture": {"features": 3}}, "no policy that l2o can run"),
    ],
)
def test_cards_that_do_not_fit(bundle, fields, message):
    change_card(bundle, **fields)
    with pytest.raises(l2o.BundleError, match=message):
        l2o.load_policy(bundle)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "{}"])
def test_cards_that_are_none(bundle, text):
    (bundle / CARD).write_text(text)
    with pytest.raises(l2o.BundleError, match=CARD):
        l2o.load_policy(bundle)


def test_missing_files(bundle, tmp_path):
    (bundle / WEIGHTS).unlink()
    with pytest.raises(l2o.BundleError, match="is missing"):
        l2o.load_policy(bundle)
    with pytest.raises(l2o.BundleError, match="a policy bundle is a folder"):
        l2o.load_policy(tmp_path)


def test_by_name_from_the_search_path(bundle, monkeypatch):
    monkeypatch.setenv("L2O_POLICY_PATH", str(bundle.parent))
    assert "bundle" in l2o.list_policies()
    assert l2o.load_policy("bundle").interval == 7
    with pytest.raises(l2o.BundleError, match="Did you mean 'bundle'"):
        l2o.load_policy("bundel")


@pytest.mark.parametrize("name", sorted(l2o.list_policies()))
def test_shipped_policies_load_and_are_small(name):
    loaded = l2o.load_policy(name)
    folder = l2o.list_policies()[name]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 200_000
    layers = getattr(loaded, "groups", 4)  # asg_2020 policies drive one number of layer groups
    observation = torch.rand(layers, len(loaded.signals))
    multipliers, _ = loaded(observation, loaded.initial_state(layers))
    assert multipliers.shape == (layers,)
