"""Weights of guidance as actions: losses, controller, environments, stacks, bundles, learning."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stacked_cells import assert_alike, stacked_records
from test_env import Replay, _hand_made
from test_guidance import example
from test_stacked import advance, assert_equal, in_double, pair
from test_stacked_env import assert_same
from tiny import TinyFamily
from torch.nn import functional

import l2o
from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cell import run_cell
from l2o.benchmarks.single import run_finetune
from l2o.benchmarks.stackable import stack_key
from l2o.bundle import CARD, BundleError
from l2o.configs.schema import (
    BenchmarkConfig,
    FinetuneConfig,
    FineTuning,
    Named,
    Row,
    TrainConfig,
)
from l2o.controller import LRController
from l2o.envs.finetune import FineTuneEnv
from l2o.envs.finetuning import FineTune, batches, fresh_model
from l2o.envs.stacked import StackedFineTune, StackedFineTuneEnv, Start
from l2o.groups import group_layers, param_groups
from l2o.guidance import GUIDANCE, L2SP, GuidanceSum, ProxyKL, copy_parameters
from l2o.network import LayerPolicyNetwork
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.networks import build_layer_network
from l2o.policy import Policy
from l2o.signals import DEFAULT_SIGNALS
from l2o.spec import SignalSpec

NAMES = (*DEFAULT_SIGNALS, "is_guidance")


@pytest.mark.parametrize("name", GUIDANCE)
def test_a_scale_multiplies_the_weight(name):
    term, student, teacher = example(name)
    scaled = copy.deepcopy(term)
    for each in (term, scaled):
        each(student, teacher)  # a first key for the contrastive queue
    scaled.rescale(0.25)
    whole = term(student, teacher).item()
    assert scaled(student, teacher).item() == pytest.approx(0.25 * whole, rel=1e-6)
    assert (term.scale, scaled.scale, scaled.weight) == (1.0, 0.25, 0.5)


def test_a_scale_goes_with_schedules_and_comes_before_the_cap():
    term = ProxyKL({"schedule": "linear", "value": 0.4}, cap=0.5)
    term.rescale(3.0)
    assert term.weight_at(0.5) == pytest.approx(0.6)
    assert term.weigh(torch.tensor(0.5), 0.5).item() == pytest.approx(0.3)
    assert term.weigh(torch.tensor(1.0), 0.5).item() == 0.5
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale must be a number"):
            term.rescale(bad)
    assert term.scale == 3.0


class Scripted(Policy):
    """Gives rows of multipliers, one by one, for two layers and a guidance term."""

    signals = SignalSpec(("present", "is_guidance", "current_factor", "loss", "size", "depth"))
    interval = 2
    guidance_actions = ("l2_sp",)

    def __init__(self, *rows):
        self.rows = [torch.tensor(row) for row in rows]
        self.seen = []

    def initial_state(self, num_layers):
        return {"calls": torch.zeros((), dtype=torch.long), "of": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        self.seen.append(observation)
        calls = int(state["calls"])
        rows = self.rows[min(calls, len(self.rows) - 1)]
        return rows, {"calls": state["calls"] + 1, "of": state["of"]}


ROWS = ((0.5, 1.0, 2.0), (0.1, 1.0, 0.0), (1.0, 0.5, 0.5))
WEIGHT = 0.3


class Loop:
    """A user's loop, with L2-SP on all parameters: loss, step, and what the controller is told."""

    def __init__(self, policy=None, **options):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)).double()
        self.start = copy_parameters(dict(self.model.named_parameters()))
        self.guidance = GuidanceSum({"l2_sp": L2SP(WEIGHT), "other": L2SP(0.1)})
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.controller = policy and LRController(
            policy, self.optimizer, self.model, total_steps=6, guidance=self.guidance, **options
        )

    def loss(self, index):
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        return self.model(x).square().mean()

    def run(self, steps):
        held = {"parameters": dict(self.model.named_parameters())}
        for index in steps:
            loss = self.loss(index)
            if self.controller:
                self.controller.observe(loss=loss)
            (loss + self.guidance(held, {"parameters": self.start})).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return self


def test_a_controller_scales_the_weight_of_each_window_the_first_step_included():
    mine, plain = Loop(Scripted(*ROWS)).run(range(6)), Loop()
    layers = [list(layer.parameters()) for layer in plain.model]
    optimizer = torch.optim.SGD([{"params": p} for p in layers], lr=0.1, momentum=0.9)
    for index in range(6):
        *rates, scale = ROWS[index // 2]
        moved = sum(
            (p - plain.start[name]).square().sum() for name, p in plain.model.named_parameters()
        )
        loss = plain.loss(index) + (WEIGHT * scale + 0.1) / 2 * moved
        optimizer.zero_grad()
        loss.backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = 0.1 * torch.tensor(rate).item()
        optimizer.step()
    for one, other in zip(mine.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert mine.guidance.terms["other"].scale == 1.0


def test_its_row_shows_what_is_known_and_history_and_multipliers_have_it():
    policy = Scripted(*ROWS)
    loop = Loop(policy).run(range(2))
    first, second = policy.seen
    assert first[2].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    loss = second[0, 3].item()
    assert loss != 0.0
    assert second[2].tolist() == [1.0, 1.0, 2.0, pytest.approx(loss), 0.0, 0.0]
    assert second[:2, :3].tolist() == [[1.0, 0.0, 0.5], [1.0, 0.0, 1.0]]
    controller = loop.controller
    assert controller.rows == ["0", "1", "guidance/l2_sp"]
    assert controller.multipliers == pytest.approx({"0": 0.1, "1": 1.0, "guidance/l2_sp": 0.0})
    assert controller.get_last_lr() == pytest.approx({"0": 0.01, "1": 0.1})
    decision = controller.history[0]
    assert decision.multipliers == (0.5, 1.0, 2.0)
    assert decision.learning_rates == (0.05, 0.1)
    controller.detach()
    assert loop.guidance.terms["l2_sp"].scale == 1.0


def test_a_missing_row_is_a_flagged_zero_in_every_default_signal():
    policy = Scripted(*ROWS)
    policy.signals = SignalSpec(NAMES)
    Loop(policy).run(range(2))
    row = dict(zip(NAMES, policy.seen[1][2].tolist(), strict=True))
    known = {"present", "is_guidance", "multiplier", "loss", "has_loss", "progress"}
    known |= {"steps_left", "has_progress"}
    assert {name for name, value in row.items() if value != 0.0} == known
    assert row["multiplier"] == pytest.approx(math.log10(2) / 3)


def test_pictures_and_events_have_the_guidance_beside_the_layers(tmp_path):
    class Writer:
        def __init__(self):
            self.tags = set()

        def add_scalar(self, tag, value, step):
            self.tags.add(tag)

    controller = Loop(Scripted(*ROWS)).run(range(6)).controller
    figure = controller.plot(tmp_path / "rates.png")
    above, below = figure.axes
    assert above.get_ylabel() == "learning rate"
    assert below.get_ylabel() == "× guidance"
    (line,) = below.get_lines()
    drawn = line.get_ydata()
    assert drawn[[0, 2]].tolist() == [2.0, 0.5]
    assert np.isnan(drawn[1])
    tags = controller.log_to(Writer()).tags
    assert tags == {
        *("learning_rate/0", "learning_rate/1"),
        *("multiplier/0", "multiplier/1", "multiplier/guidance/l2_sp"),
    }


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_resumed_run_goes_on_bit_equal(done):
    whole = Loop(Scripted(*ROWS)).run(range(6))
    first, again = Loop(Scripted(*ROWS)).run(range(done)), Loop(Scripted((0.3, 0.3, 0.3)))
    assert again.guidance.terms["l2_sp"].scale == pytest.approx(0.3)
    again.controller.policy.rows = [torch.tensor(row) for row in ROWS]
    again.model.load_state_dict(first.model.state_dict())
    saved = copy.deepcopy(first.optimizer.state_dict())
    again.optimizer.load_state_dict(saved)
    assert again.guidance.terms["l2_sp"].scale == first.guidance.terms["l2_sp"].scale
    again.run(range(done, 6))
    for one, other in zip(again.model.parameters(), whole.model.parameters()):
        assert torch.equal(one, other)
    without = Loop()
    plain = LRController(None, without.optimizer, without.model, signals=Scripted.signals)
    with pytest.raises(ValueError, match="guidance/l2_sp"):
        plain.load_state_dict(saved["l2o"])


class Fails(Scripted):
    """Fails at the second decision."""

    def __call__(self, observation, state):
        if state["calls"] >= 1:
            raise RuntimeError("boom")
        return super().__call__(observation, state)


def test_when_the_policy_fails_the_last_multipliers_stay_or_terms_get_their_weights_back():
    kept = Loop(Fails(*ROWS)).run(range(4))
    assert kept.controller.multipliers == {"0": 0.5, "1": 1.0, "guidance/l2_sp": 2.0}
    guard = l2o.Guard(fallback=l2o.SchedulePolicy("constant", "layerwise_decay"))
    fallen = Loop(Fails(*ROWS), guard=guard).run(range(4))
    plain = Loop(l2o.SchedulePolicy("constant", "layerwise_decay"), guard=None).run(range(4))
    assert fallen.controller.multipliers == {
        **plain.controller.multipliers,
        "guidance/l2_sp": 1.0,
    }
    assert fallen.guidance.terms["l2_sp"].scale == 1.0


@pytest.mark.parametrize("policy", [Scripted, Fails])
def test_a_bad_window_lowers_learning_rates_and_leaves_guidance(policy):
    loop = Loop(policy((0.5, 1.0, 2.0)), guard=l2o.Guard(roll_back=True))
    for _ in range(2):
        loop.controller.observe(loss=math.nan)
        loop.run([0])
    assert loop.controller.multipliers == pytest.approx(
        {"0": 0.05, "1": 0.1, "guidance/l2_sp": 2.0}
    )
    assert loop.guidance.terms["l2_sp"].scale == 2.0
    assert loop.controller.report()["interventions"]["rolled back to the last good weights"] == 1


def test_terms_that_do_not_fit_the_policy_are_named_with_the_remedy():
    loop = Loop()
    attach = {"optimizer": loop.optimizer, "model": loop.model}
    with pytest.raises(ValueError, match=r"guidance l2_sp, but the run has no guidance; give"):
        LRController(Scripted(*ROWS), **attach)
    with pytest.raises(ValueError, match=r"l2_sp, but the run has proxy_kl"):
        LRController(Scripted(*ROWS), **attach, guidance={"proxy_kl": ProxyKL()})
    with pytest.raises(TypeError, match="must be terms"):
        LRController(None, **attach, guidance={"proxy_kl": 0.3})
    controller = LRController(None, **attach, guidance={"l2_sp": L2SP()})
    with pytest.raises(ValueError, match="3 layer groups need as many"):
        controller.set_multipliers(torch.ones(2))
    controller.detach()
    plain = LRController(l2o.SchedulePolicy("constant"), **attach, guidance={"l2_sp": L2SP()})
    assert list(plain.multipliers) == ["0", "1"]


# Environments -----------------------------------------------------------------------------------

TERMS = {
    "proxy_kl": {"weight": 0.3, "cap": 0.2},
    "l2_sp": {"weight": {"schedule": "cosine", "value": 0.5}},
    "feature_l2": {"weight": 0.1},
}
ACTIONS = ("feature_l2", "proxy_kl")
ENVIRONMENT = {"guidance_actions": ACTIONS, "signals": NAMES, "signal_dropout": 0.0}


def test_an_episode_equals_a_hand_written_loop_with_the_controller():
    """Bit for bit: the policy finds in deployment what it has learned with."""
    family, terms = TinyFamily(), {"proxy_kl": {"weight": 0.3}}
    env = FineTuneEnv(
        family,
        {"interval": 5, "guidance": terms},
        {**ENVIRONMENT, "guidance_actions": ["proxy_kl"]},
    )
    assert env.observation_space.shape == (5, len(NAMES))
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    observation, info = env.reset(seed=11)
    observations = [observation] + [env.step(action)[0] for action in actions]

    task = family.sample(info["task_seed"])
    model = fresh_model(task, info["seed"])
    groups = group_layers(model, head=model.get_classifier())
    replay = Replay(env.multipliers.decode(torch.as_tensor(a))[:4] for a in actions)
    replay.signals, replay.guidance_actions = env.signals, ("proxy_kl",)
    hand = _hand_made("sgd", param_groups(groups, info["base_lr"]))
    guidance = GuidanceSum({"proxy_kl": ProxyKL(0.3)})
    LRController(replay, hand, groups=groups, total_steps=task.steps, guidance=guidance)
    proxy_head = task.proxy_head.requires_grad_(False)
    controller = hand.param_groups  # keeps nothing alive but the optimizer's own hooks
    assert controller
    order = batches(len(task.source_train), task.batch_size, info["seed"])
    run = env.run.controller.history
    assert [decision.step for decision in run] == [0, 5, 10, 15]
    for _, index in zip(range(task.steps), order):
        features = model.forward_features(task.source_train.images[index])
        loss = functional.cross_entropy(
            model.forward_head(features), task.source_train.labels[index]
        )
        term = guidance.terms["proxy_kl"]
        kl = term.divergence(proxy_head(features), task.teacher_logits[index])
        (loss + term.weigh(kl)).backward()
        hand.step()
        hand.zero_grad()
    for mine, theirs in zip(env.run.model.parameters(), model.parameters()):
        assert torch.equal(mine, theirs)
    hidden = [NAMES.index(name) for name in NAMES if "loss" in name or "proxy" in name]
    for mine, theirs in zip(observations, replay.seen, strict=True):
        mine = mine.copy()
        mine[:, hidden] = 0.0  # this loop tells the controller no losses
        np.testing.assert_array_equal(mine[:4], theirs)
        assert not mine[4:].any()


@pytest.mark.parametrize("actions", [ACTIONS, ("l2_sp",), tuple(TERMS)], ids=", ".join)
@pytest.mark.parametrize("substitute", [True, False])
def test_a_stack_equals_single_runs(actions, substitute):
    """Runs of different length, so that windows are cut, and padding after the guidance rows."""
    torch.manual_seed(0)
    starts = [
        Start(in_double(TinyFamily(steps=steps, examples=size).sample(steps)), steps, 0.03)
        for steps, size in ((9, 40), (13, 33))
    ]
    config = FineTuning.model_validate({"guidance": TERMS, "interval": 4})
    runs, singles = pair(
        starts,
        config,
        4 + len(actions),
        substitute=substitute,
        guidance_actions=actions,
        signals=SignalSpec(NAMES),
    )
    while not runs.done.all():
        multipliers = torch.rand(2, 4 + len(actions))
        multipliers[:, 3 : 3 + len(actions)] *= 3
        advance(runs, singles, multipliers)
        assert_equal(runs, singles, 1e-9)
    rows = runs.observation[:, :, NAMES.index("is_guidance")]
    expected = [0.0, 0.0, 0.0, *[1.0] * len(actions), 0.0]
    assert rows.tolist() == [expected] * 2


def test_the_vector_environment_equals_several():
    finetuning = {"interval": 5, "guidance": TERMS}
    # At lower rates the proxy KL is so small that its trend is rounding.
    environment = {**ENVIRONMENT, "signal_dropout": 0.3, "base_lr": (0.03, 0.1)}
    given = (TinyFamily(steps=12), finetuning, environment)
    one = StackedFineTuneEnv(*given, num_envs=3)
    other = SyncVectorEnv([lambda: FineTuneEnv(*given)] * 3, autoreset_mode=AutoresetMode.NEXT_STEP)
    assert one.observation_space == other.observation_space
    assert one.action_space == other.action_space
    one.action_space.seed(0)
    assert_same(one.reset(seed=7)[0], other.reset(seed=7)[0])
    for _ in range(6):
        actions = one.action_space.sample()
        for mine, theirs in zip(one.step(actions), other.step(actions), strict=True):
            assert_same(mine, theirs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["proxy_k"], r"unknown guidance term 'proxy_k'. Did you mean 'proxy_kl'"),
        (["proxy_kl", "proxy_kl"], "names 'proxy_kl' twice"),
    ],
)
def test_names_that_are_no_terms_are_refused(names, message):
    for make in (FineTuneEnv, StackedFineTuneEnv):
        with pytest.raises(ValueError, match=message):
            make(TinyFamily(), {}, {"guidance_actions": names})
    with pytest.raises(ValueError, match=message):
        StackedFineTune(FineTuning(), 1, 5, guidance_actions=names)
    with pytest.raises(ValueError, match=message):
        FineTune(TinyFamily().sample(0), FineTuning(), guidance_actions=names)


# Policies ---------------------------------------------------------------------------------------


def learned(actions=("proxy_kl",), seed=0):
    torch.manual_seed(seed)
    network = LayerPolicyNetwork(len(NAMES), 1, hidden=8)
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return l2o.LearnedPolicy(network, l2o.LogRange(), SignalSpec(NAMES), 5, actions)


def test_the_card_keeps_what_is_scaled(tmp_path):
    l2o.save_policy(tmp_path, learned(), {})
    assert l2o.read_card(tmp_path)["guidance_actions"] == ["proxy_kl"]
    again = l2o.load_policy(tmp_path)
    assert again.guidance_actions == ("proxy_kl",)
    observation = torch.rand(4, len(NAMES))
    assert torch.equal(again(observation, {})[0], learned()(observation, {})[0])
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "guidance_actions": "proxy_kl"}))
    with pytest.raises(BundleError, match="must be a list of names"):
        l2o.load_policy(tmp_path)
    l2o.save_policy(tmp_path / "plain", learned(()), {})
    assert "guidance_actions" not in l2o.read_card(tmp_path / "plain")


def test_a_fine_tune_under_such_a_policy_equals_the_environment_s():
    family, finetuning = TinyFamily(), {"interval": 5, "guidance": TERMS}
    policy = learned(ACTIONS)
    run = FineTune(
        family.sample(3), FineTuning.model_validate(finetuning), policy=policy, base_lr=0.02, seed=4
    )
    run.advance(run.steps)
    env = FineTuneEnv(family, finetuning, ENVIRONMENT)
    observation, info = env.reset(options={"task_seed": 3, "base_lr": 0.02, "seed": 4})
    rows = info["layers"] + len(ACTIONS)
    actions = np.zeros(env.action_space.shape, np.float32)
    while not env.run.done:
        actions[:rows] = env.multipliers.encode(policy(torch.from_numpy(observation[:rows]), {})[0])
        observation, *_ = env.step(actions)
    for mine, theirs in zip(run.model.parameters(), env.run.model.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    assert run.controller.multipliers.keys() == env.run.controller.multipliers.keys()
    assert run.controller.multipliers["guidance/proxy_kl"] != 1.0


def training(algorithm="ppo", **fields):
    options = {"decisions": 16, "minibatches": 2, "epochs": 1} if algorithm == "ppo" else {}
    base = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"interval": 5},
        "environment": {"signals": NAMES, "guidance_actions": ["proxy_kl"], "group": 2},
        "network": {"hidden": 8},
        "algorithm": {"name": algorithm, "options": options},
        "workers": 1,
        "environments": 2,
    }
    return TrainConfig.model_validate(base | fields)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_is_learned_like_any_other_action(algorithm):
    config = training(algorithm)
    learner = ALGORITHMS[algorithm](config, **config.algorithm.options)
    try:
        metrics = learner.iterate()
        policy = learner.policy()
    finally:
        learner.close()
    assert policy.guidance_actions == ("proxy_kl",)
    run = FineTune(TinyFamily().sample(0), config.finetuning, policy=policy)
    run.advance(run.steps)
    assert 0.001 <= run.controller.multipliers["guidance/proxy_kl"] <= 10.0
    if algorithm == "reinforce":
        assert 0.001 <= metrics["multiplier_guidance"] <= 10.0


def test_an_anchored_network_begins_with_the_weights_of_the_terms():
    signals = ["present", "is_guidance", "base_lr", "multiplier", "update_norm", "has_gradient"]
    environment = {"signals": signals, "guidance_actions": ["proxy_kl"]}
    network = build_layer_network(
        training(network={"anchor": "update", "hidden": 8}, environment=environment)
    )
    seen = torch.tensor([[1.0, 0.0, math.log10(0.03) / 4, 0.0, 0.0, 0.0], [1.0, 1.0, *[0.0] * 4]])
    layer, term = l2o.LogRange().best(network.anchor(seen)).tolist()
    assert layer == pytest.approx(1e-4 / 0.03, rel=1e-4)
    assert term == pytest.approx(1.0, rel=1e-4)
    with pytest.raises(ValueError, match="by the signal is_guidance"):
        build_layer_network(
            training(
                network={"anchor": "update"},
                environment={"guidance_actions": ["proxy_kl"]},
            )
        )


def test_asg_2020_has_no_output_for_guidance():
    factors = ("present", "current_factor", "window_loss")
    environment = {"multipliers": {"kind": "bins"}, "signals": factors}
    config = training(
        "reinforce",
        network={"kind": "asg_2020", "hidden": 4},
        environment={**environment, "guidance_actions": ["proxy_kl"]},
    )
    with pytest.raises(ValueError, match="asg_2020 has no output for guidance proxy_kl"):
        ALGORITHMS["reinforce"](config)


def test_the_network_pools_the_rows_of_guidance_with_the_layers():
    policy = learned()
    seen = torch.rand(4, len(NAMES))
    seen[:, 0] = 1.0
    other = seen.clone()
    other[3, 5] += 1.0
    assert not torch.equal(policy(seen, {})[0][:3], policy(other, {})[0][:3])


# Benchmarks -------------------------------------------------------------------------------------


def benchmark(policy, **changes):
    rows = (
        Row(label="learned", policy=str(policy)),
        Row(label="cosine", schedule="cosine", profile="small_backbone"),
    )
    finetuning = FineTuning(interval=5, guidance={"proxy_kl": {"weight": 0.3}})
    return BenchmarkConfig(
        **{"tasks": 2, "seeds": 1, "evaluations": 2, "bootstrap": 10, "rows": rows}
        | {"task": Named(name="tiny:TinyFamily"), "finetuning": finetuning}
        | changes
    )


@pytest.mark.parametrize("interval", [5, {"first": 3, "growth": 0.3}], ids=["fixed", "growing"])
def test_benchmarks_stack_such_policies_among_themselves(tmp_path, interval):
    l2o.save_policy(tmp_path, learned(), {})
    finetuning = FineTuning(interval=interval, guidance={"proxy_kl": {"weight": 0.3}})
    # In float64: here the proxy KL is so small that a policy sees its rounding.
    config = benchmark(tmp_path, finetuning=finetuning, task=Named(name="stacked_cells:Double"))
    plan = make_plan(config)
    assert len({stack_key(cell) for cell in plan.cells}) == 2
    records, notes = stacked_records(config)
    assert not notes
    for cell in plan.cells:
        alone = run_cell(cell)
        assert_alike(records[cell.id], alone, loss=1e-6)
        chosen = alone["learning_rates"].get("guidance")
        assert (chosen is not None) == (cell.choice.policy is not None)
        if chosen is not None:
            stacked = records[cell.id]["learning_rates"]["guidance"]
            assert stacked["proxy_kl"] == pytest.approx(chosen["proxy_kl"], rel=2e-3)
            assert len(chosen["proxy_kl"]) == len(alone["learning_rates"]["step"])


def test_a_benchmark_or_fine_tune_without_the_term_is_refused_before_any_work(tmp_path):
    l2o.save_policy(tmp_path / "policy", learned(), {})
    config = benchmark(tmp_path / "policy", finetuning=FineTuning(guidance={}))
    with pytest.raises(ValueError, match="scales the weight of guidance proxy_kl"):
        run_benchmark(config, tmp_path / "benchmark")
    given = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"guidance": {}},
        "choice": {"policy": str(tmp_path / "policy")},
    }
    with pytest.raises(ValueError, match="scales the weight of guidance proxy_kl"):
        run_finetune(FinetuneConfig.model_validate(given), tmp_path / "one")
    given["finetuning"] = {"guidance": {"proxy_kl": {}}}
    path = run_finetune(FinetuneConfig.model_validate(given), tmp_path / "one")
    assert "proxy_kl" in json.loads(path.read_text())["learning_rates"]["guidance"]
