"""torch's default dtype and device are the user's: what l2o makes does not depend on them."""

from __future__ import annotations

import random

import pytest
import torch

import l2o
from l2o.deciding.architectures import ARCHITECTURES, make_network
from l2o.deciding.early_stopping import EarlyStopping
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.guarding.fallback import unmeasured
from l2o.networks.multipliers import MULTIPLIERS
from l2o.networks.pooling import POOLINGS
from l2o.profiles import PROFILES
from l2o.rules import RULES
from l2o.schedules import SCHEDULES
from l2o.signals import DEFAULT_SIGNALS

LAYERS = 6  # as many as the shipped asg-2020 policies have heads for
DEFAULTS = {
    "float64": (torch.float64, None),
    "bfloat16": (torch.bfloat16, None),
    "meta": (torch.float32, "meta"),
}


@pytest.fixture(params=DEFAULTS)
def defaults(request):
    """Return what sets torch's defaults; they are set back after the test."""
    dtype, device = DEFAULTS[request.param]

    def settle():
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)

    yield settle
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def decisions(policy, times=3):
    """Return what a policy decides of fixed observations, and the states on the way."""
    generator = torch.Generator("cpu").manual_seed(3)
    options = {"generator": generator, "device": "cpu", "dtype": torch.float32}
    state, found = policy.initial_state(LAYERS), []
    for _ in range(times):
        seen = torch.rand(LAYERS, len(policy.signals), **options)
        for name, value in {"present": 1.0, "has_progress": 1.0}.items():
            if name in policy.signals.names:
                seen[:, policy.signals.index(name)] = value
        if "is_head" in policy.signals.names:
            column = [0.0] * (LAYERS - 1) + [1.0]
            seen[:, policy.signals.index("is_head")] = torch.tensor(
                column, device="cpu", dtype=torch.float32
            )
        chosen, state = policy(seen, state)
        found += [chosen, *state.values()]
    return found


POLICIES = {
    **{name: lambda name=name: l2o.load_policy(name) for name in l2o.list_policies()},
    **{name: lambda name=name: SchedulePolicy(name).of_length(150) for name in SCHEDULES},
    **{name: lambda name=name: SchedulePolicy("constant", name) for name in PROFILES},
    **{
        name: lambda kind=kind, name=name: (
            kind([0.3] * LAYERS) if name == "constant_layers" else kind()
        )
        for name, kind in RULES.items()
    },
    "early_stopping": lambda: EarlyStopping(SchedulePolicy("constant"), patience=1),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_decide_the_same(defaults, name):
    wanted = decisions(POLICIES[name]())
    defaults()
    got = decisions(POLICIES[name]())
    assert [(t.dtype, t.device) for t in got] == [(t.dtype, t.device) for t in wanted]
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("name", l2o.list_policies())
def test_a_policy_that_was_loaded_before_decides_the_same(defaults, name):
    policy = l2o.load_policy(name)
    wanted = decisions(policy)
    defaults()
    assert all(torch.equal(a, b) for a, b in zip(decisions(policy), wanted, strict=True))


NETWORKS = {
    "plain": {"features": 5, "outputs": 1},
    "recurrent": {"features": 5, "outputs": 1, "recurrent": True, "anchored": True},
    **{name: {"features": 5, "outputs": 1, "pooling": name} for name in POOLINGS},
    "asg_2020": {"kind": "asg_2020", "groups": LAYERS},
    "probing": {
        **{"kind": "probing", "signals": DEFAULT_SIGNALS, "points": [[1e-3, 0.05]]},
        **{"probe": [1e-4, 0.05], "share": 0.1, "fallback": 0, "low": 1e-8, "high": 1e4},
        **{"trees": 1, "nodes": 1, "depth": 1},
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_float32_and_draw_the_same(defaults, name):
    def made():
        torch.manual_seed(0)
        network = make_network(NETWORKS[name])
        return [*network.state_dict().values(), network.initial_state(LAYERS)]

    wanted = made()
    defaults()
    for got, right in zip(made(), wanted, strict=True):
        assert (got is None and right is None) or torch.equal(got, right)


def test_every_kind_of_network_is_among_them():
    kinds = {make_network(arguments).kind for arguments in NETWORKS.values()}
    assert kinds == set(ARCHITECTURES)


@pytest.mark.parametrize("kind", MULTIPLIERS)
def test_ranges_decode_and_encode_the_same(defaults, kind):
    given = torch.tensor([0.0, 0.1, 0.5, 1.0])
    made = MULTIPLIERS[kind]()
    wanted = made.decode(given), made.encode(given)
    defaults()
    made = MULTIPLIERS[kind]()
    assert torch.equal(made.decode(given), wanted[0])
    assert torch.equal(made.encode(given), wanted[1])


def test_observations_are_the_same(defaults):
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    groups, ones = l2o.group_layers(network), torch.ones(2)
    # Another spec than anybody else's, so that nothing of it was computed before.
    spec = l2o.SignalSpec(("present", "depth", "is_head", "progress", "has_progress", "base_lr"))
    defaults()
    got = spec.encode(unmeasured(groups, 1, 4, ones))
    assert (got.device.type, got.dtype) == ("cpu", torch.float32)
    assert got[:, :5].tolist() == [[1.0, 0.0, 0.0, 0.25, 1.0], [1.0, 1.0, 1.0, 0.25, 1.0]]


@pytest.mark.parametrize("name", l2o.list_policies())
def test_loading_a_policy_draws_no_random_numbers(name):
    torch.manual_seed(0)
    before = torch.get_rng_state(), random.getstate()
    l2o.load_policy(name)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_a_network_on_meta_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for arguments in NETWORKS.values():
        make_network(arguments, device="meta")
    assert torch.equal(before, torch.get_rng_state())


def test_a_loaded_policy_can_be_trained_on():
    network = l2o.load_policy("asg-base").network
    outputs, value, _ = network(torch.ones(3, network.features))
    (outputs.sum() + value).backward()
    assert all(p.is_leaf and p.grad is not None for p in network.parameters())


def test_a_card_cannot_choose_the_device():
    with pytest.raises(TypeError, match="device"):
        make_network({"features": 3, "outputs": 1, "device": "cuda"})
