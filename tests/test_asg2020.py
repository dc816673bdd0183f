"""ASG's published policy: network, signals, bundle, and life under a controller."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_bundle import change_card
from test_stacked import advance, pair
from tiny import TinyFamily
from torch import nn

import l2o
from l2o.configs.schema import FineTuning
from l2o.deciding.architectures import ARCHITECTURES, make_network, make_policy
from l2o.deciding.asg_policy import ASG_SIGNALS, ASGPolicy
from l2o.deciding.bundle import WEIGHTS, find_bundle
from l2o.envs.stacked import Start
from l2o.layers.groups import group_layers
from l2o.measuring.meter import Meter
from l2o.networks.asg import ASGPolicyNetwork
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import Bins, LogRange
from l2o.networks.probing import ProbingNetwork
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS, RAW_SIGNALS, SIGNALS
from l2o.signals.spec import SignalSpec

SPEC = SignalSpec(ASG_SIGNALS)


def network(groups=3, seed=0, scale=30.0, **options):
    torch.manual_seed(seed)
    made = ASGPolicyNetwork(groups, **options)
    with torch.no_grad():
        for head in made.heads:
            head.weight.mul_(scale)  # so that different inputs choose different factors
    return made


def policy(groups=3, interval=5, **options):
    return ASGPolicy(network(groups, **options), Bins(), SPEC, interval)


def observations(decisions, groups, seed=1):
    generator = np.random.default_rng(seed)
    seen = np.ones((decisions, groups, 7), np.float32)
    seen[:, :, 1] = generator.integers(0, 11, (decisions, groups)) / 10
    seen[:, :, 2:] = generator.normal(size=(decisions, 1, 5))
    return torch.from_numpy(seen)


def reference(net, seen):
    """Return logits `[T, L, 11]` of decisions one after the other, by loops in float64."""
    weights = {name: tensor.double().numpy() for name, tensor in net.state_dict().items()}

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    width = net.hidden
    state = [([0.0] * width, [0.0] * width) for _ in range(net.scalars)]
    rows = []
    for t in range(len(seen)):
        if net.memoryless:
            state = [([0.0] * width, [0.0] * width) for _ in range(net.scalars)]
        for s in range(net.scalars):
            get = [
                weights[f"memories.{s}.{name}_{of}"]
                for name in ("weight", "bias")
                for of in ("ih", "hh")
            ]
            w_x, w_h, b_x, b_h = get
            x, (h, c) = float(seen[t, 0, 2 + s]), state[s]
            gates = [
                w_x[k, 0] * x + sum(w_h[k, j] * h[j] for j in range(width)) + b_x[k] + b_h[k]
                for k in range(4 * width)
            ]
            i, f, g, o = (gates[k * width : (k + 1) * width] for k in range(4))
            c = [sigmoid(f[k]) * c[k] + sigmoid(i[k]) * math.tanh(g[k]) for k in range(width)]
            state[s] = ([sigmoid(o[k]) * math.tanh(c[k]) for k in range(width)], c)
        hidden = [value for h, _ in state for value in h]
        row = []
        for group in range(net.groups):
            now = [0.0] * net.outputs
            now[round(float(seen[t, group, 1]) * 10)] = 1.0
            weight, bias = weights[f"heads.{group}.weight"], weights[f"heads.{group}.bias"]
            row.append(weight @ np.array(hidden + now) + bias)
        rows.append(row)
    return torch.from_numpy(np.array(rows))


def test_seven_groups_have_the_published_number_of_parameters():
    assert sum(p.numel() for p in ASGPolicyNetwork(7).parameters()) == 17_824


@pytest.mark.parametrize("memoryless", [False, True])
def test_logits_equal_a_plain_loop(memoryless):
    net = network(groups=4, memoryless=memoryless).double()
    seen = observations(5, 4).double()
    state = net.initial_state(4)
    state = None if state is None else state.double()
    found = []
    with torch.no_grad():
        for now in seen:
            outputs, value, state = net(now, state)
            found.append(outputs)
            assert float(value) == 0.0
    torch.testing.assert_close(torch.stack(found), reference(net, seen), rtol=1e-10, atol=1e-12)
    assert (state is None) == memoryless


def test_many_runs_at_once_are_as_one_by_one():
    net = network(groups=3)
    seen = torch.stack([observations(4, 3, seed) for seed in range(6)]).view(2, 3, 4, 3, 7)
    state = net.initial_state(2, 3, 3)
    assert state.shape == (2, 3, 2, 5, 20)
    alone = [[net.initial_state(3) for _ in range(3)] for _ in range(2)]
    with torch.no_grad():
        for t in range(4):
            outputs, _, state = net(seen[:, :, t], state)
            for i in range(2):
                for j in range(3):
                    one, _, alone[i][j] = net(seen[i, j, t], alone[i][j])
                    torch.testing.assert_close(outputs[i, j], one)
                    torch.testing.assert_close(state[i, j], alone[i][j])


def test_the_carried_state_counts_and_the_memoryless_variant_has_none():
    seen = observations(3, 3)
    with_memory, without = policy(), policy(memoryless=True)
    state = with_memory.initial_state(3)
    for now in seen:
        _, state = with_memory(now, state)
    a, _ = with_memory.network(seen[0], state["memory"])[:2]
    b, _ = with_memory.network(seen[0], None)[:2]
    assert not torch.allclose(a, b)
    assert without.initial_state(3) == {}
    first, state = without(seen[0], {})
    without(seen[1], state)
    assert torch.equal(first, without(seen[0], {})[0])


@pytest.mark.parametrize("memoryless", [False, True])
def test_export_and_load_decide_bit_equal(tmp_path, memoryless):
    saved = policy(groups=5, interval=10, memoryless=memoryless)
    loaded = l2o.load_policy(l2o.save_policy(tmp_path, saved, {"name": "asg"}))
    assert type(loaded) is ASGPolicy
    assert l2o.read_card(tmp_path)["architecture"] == {
        "kind": "asg_2020",
        "groups": 5,
        "scalars": 5,
        "hidden": 20,
        "bins": list(Bins().values),
        "memoryless": memoryless,
    }
    states = saved.initial_state(5), loaded.initial_state(5)
    chosen = set()
    for now in observations(6, 5):
        (a, state_a), (b, state_b) = saved(now, states[0]), loaded(now, states[1])
        assert torch.equal(a, b)
        states = state_a, state_b
        chosen |= set(a.tolist())
    assert len(chosen) > 2
    assert loaded.interval == 10


@pytest.mark.parametrize("kind", ["asg_2021", "os:system"])
def test_an_unknown_architecture_is_refused_and_never_imported(tmp_path, kind):
    folder = l2o.save_policy(tmp_path, policy(), {})
    change_card(folder, architecture={"kind": kind})
    with pytest.raises(l2o.BundleError, match=f"unknown policy architecture '{kind}'"):
        l2o.load_policy(folder)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_is_made_anew_from_what_it_tells(kind):
    spec, actions = (SPEC if kind == "asg_2020" else SignalSpec()), Bins()
    if kind == "probing":
        actions = LogRange(1e-8, 1e4)
        sizes = {"trees": 1, "nodes": 1, "depth": 1, "low": actions.low, "high": actions.high}
        made = ProbingNetwork(spec.names, [(1e-3, 0.05)], (1e-4, 0.05), 0.1, 0, **sizes)
    else:
        made = network() if kind == "asg_2020" else LayerPolicyNetwork(len(spec), 11)
    again = make_network(made.architecture())
    assert type(again) is type(made)
    assert again.kind == kind
    again.load_state_dict(made.state_dict())
    chosen = make_policy(again, actions, spec, 10)
    multipliers, _ = chosen(torch.ones(3, len(spec)), chosen.initial_state(3))
    assert multipliers.shape == (3,)


def mlp(width=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 8), nn.Linear(8, 3))


def run(controller, model, optimizer, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(16, 4, generator=generator)
        y = torch.randint(0, 3, (16,), generator=generator)
        loss = nn.functional.cross_entropy(model(x), y)
        controller.observe(loss=loss, proxy_kl=loss / 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_it_drives_a_controller_like_any_other_policy():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    controller = l2o.LRController(policy(), optimizer, model, total_steps=200, guard=None)
    assert controller.interval == 10  # 200 // 20, more than the policy's fewest
    run(controller, model, optimizer, 40)
    assert len(controller.history) == 5
    chosen = {m for decision in controller.history for m in decision.multipliers}
    assert chosen <= {float(np.float32(value)) for value in Bins().values}
    assert len(chosen) > 1
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_controller_goes_on_with_the_state_that_was_saved():
    def made():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        controller = l2o.LRController(policy(), optimizer, model, total_steps=50, guard=None)
        return model, optimizer, controller

    model, optimizer, controller = made()
    run(controller, model, optimizer, 13)  # in the middle of a window
    saved = model.state_dict(), optimizer.state_dict()
    saved = torch.load(_bytes(saved), weights_only=True)
    run(controller, model, optimizer, 17, seed=1)
    other, other_optimizer, other_controller = made()
    other.load_state_dict(saved[0])
    other_optimizer.load_state_dict(saved[1])
    run(other_controller, other, other_optimizer, 17, seed=1)
    assert [d.multipliers for d in controller.history][-4:] == [
        d.multipliers for d in other_controller.history
    ]
    for mine, theirs in zip(model.parameters(), other.parameters()):
        assert torch.equal(mine, theirs)


def _bytes(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_runs_that_it_cannot_drive_are_refused_with_the_remedy():
    model = nn.Sequential(mlp(), nn.Linear(3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"3 layer groups, the model has 4.*max_groups=3"):
        l2o.LRController(policy(3), optimizer, model, total_steps=10)
    groups = group_layers(model, max_groups=3)
    assert l2o.LRController(policy(3), optimizer, groups=groups, total_steps=10).policy is not None
    with pytest.raises(ValueError, match="learn one for this model") as fewer:
        l2o.LRController(policy(5), optimizer, model, total_steps=10)
    assert "max_groups" not in str(fewer.value)
    with pytest.raises(ValueError, match="total_steps"):
        l2o.LRController(policy(4), optimizer, model)
    with pytest.raises(ValueError, match="3 layer groups, the model has 4"):
        network(3)(torch.ones(4, 7))
    with pytest.raises(ValueError, match="same bins"):
        ASGPolicy(network(), Bins(tuple(i / 5 for i in range(11))), SPEC)
    with pytest.raises(ValueError, match="begin with present, current_factor"):
        ASGPolicy(network(), Bins(), SignalSpec(DEFAULT_SIGNALS[:7]))
    with pytest.raises(ValueError, match="groups=0"):
        ASGPolicyNetwork(0)


@settings(max_examples=30, deadline=None)
@given(steps=st.one_of(st.none(), st.integers(1, 10_000)), interval=st.integers(1, 50))
def test_the_window_is_a_twentieth_of_the_training_or_the_fewest(steps, interval):
    expected = interval if steps is None else max(interval, steps // 20)
    assert policy(interval=interval).decision_interval(steps) == expected


def test_raw_signals_are_not_among_the_defaults():
    asked_for = (*RAW_SIGNALS, "is_guidance", *KIND_SIGNALS, "largest_update")
    assert tuple(SIGNALS) == (*DEFAULT_SIGNALS, *asked_for)
    assert SignalSpec().names == DEFAULT_SIGNALS
    assert "head" not in SignalSpec().needs


def test_the_shipped_policy_sees_and_decides_what_it_did():
    shipped = l2o.load_policy("asg-base")
    card = l2o.read_card("asg-base")
    assert shipped.signals.names == DEFAULT_SIGNALS == tuple(card["signals"]["names"])
    plain = LayerPolicyNetwork(**card["architecture"])
    plain.load_state_dict(load_file(find_bundle("asg-base") / WEIGHTS))
    drawn = torch.randn(4, len(DEFAULT_SIGNALS) - 1, generator=torch.Generator().manual_seed(0))
    seen = torch.cat([torch.ones(4, 1), drawn], dim=1)
    with torch.no_grad():
        wanted = shipped.multipliers.best(plain(seen)[0])
    # NumPy sums in another order than torch does.
    torch.testing.assert_close(shipped(seen, {})[0], wanted, rtol=1e-5, atol=1e-5)


def test_the_meter_takes_means_over_the_window_as_a_plain_loop_does():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    groups = group_layers(model)
    meter = Meter(groups, SPEC.needs, total_steps=20)
    start = SPEC.encode(meter.measure(0, torch.ones(3), [0.5] * 3))
    assert torch.equal(start, torch.tensor([1.0, 1, 0, 0, 0, 0, 0]).expand(3, 7))
    step = 0
    for length in (4, 3):
        means, stds, progress = [], [], []
        for k in range(length):
            weight = model[3].weight.detach().double()
            means.append(float(weight.mean()))
            stds.append(float(weight.std(unbiased=False)))
            progress.append(step / 20)
            model(torch.randn(8, 4)).square().mean().backward()
            meter.observe(loss=1.0 + k, proxy_kl=0.5)
            meter.begin_step()
            optimizer.step()
            step += 1
        seen = SPEC.encode(meter.measure(step, torch.tensor([0.1, 0.5, 1.0]), [0.5] * 3))
        expected = [1 + (length - 1) / 2, 0.5, *map(np.mean, (progress, means, stds))]
        for row, factor in zip(seen, (0.1, 0.5, 1.0)):
            torch.testing.assert_close(
                row, torch.tensor([1.0, factor, *expected], dtype=torch.float32)
            )


def test_stacked_runs_observe_what_single_ones_do():
    starts = [Start(TinyFamily().sample(s), seed=s, base_lr=0.05 * (s + 1)) for s in range(3)]
    runs, singles = pair(starts, FineTuning(interval=5), signals=SPEC)
    torch.manual_seed(0)
    for _ in range(4):
        advance(runs, singles, torch.randint(0, 11, (3, 4)) / 10)
        for seen, single in zip(runs.observation, singles):
            own = single.controller.observation
            torch.testing.assert_close(seen[: len(own)], own, rtol=1e-4, atol=1e-6)
            assert (own[:, 6] > 0.01).all()


@pytest.mark.parametrize("name", ["asg-2020", "asg-2020-memoryless"])
def test_the_shipped_ones_load_by_name_and_drive_six_groups(name):
    shipped = l2o.load_policy(name)
    assert shipped.signals == SPEC
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    controller = l2o.LRController(shipped, optimizer, model, total_steps=20, guard=None)
    for _ in range(20):
        loss = model(torch.ones(2, 4)).square().mean()
        controller.observe(loss=loss, proxy_kl=loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    last = controller.history[-1].multipliers
    assert len(last) == 6
    assert last[-1] > np.mean(last[:-1])  # what ASG published: backbone < head
    assert l2o.read_card(name)["results"]["benchmark"]["figures"]
