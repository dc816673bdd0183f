"""Weights of guidance as actions: environments, stacks, bundles, learning, benchmarks."""

import json
import math

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stacked_cells import assert_alike, stacked_records
from test_env import Replay, _hand_made
from test_stacked import advance, assert_equal, in_double, pair
from test_stacked_env import assert_same
from tiny import TinyFamily
from torch.nn import functional

import l2o
from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cells.cell import run_cell
from l2o.benchmarks.cells.stackable import stack_key
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.schema import (
    BenchmarkConfig,
    FineTuning,
    Named,
    Row,
    TrainConfig,
)
from l2o.control.controller import LRController
from l2o.deciding.bundle import CARD, BundleError
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.stacked import StackedFineTune, StackedFineTuneEnv, Start
from l2o.guidance import GuidanceSum, ProxyKL
from l2o.layers.groups import group_layers, param_groups
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.common.networks import build_layer_network
from l2o.service.finetuning.run import run_finetune
from l2o.signals import DEFAULT_SIGNALS
from l2o.signals.spec import SignalSpec

NAMES = (*DEFAULT_SIGNALS, "is_guidance")

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
    card = l2o.read_card(tmp_path)
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
    options = {
        "ppo": {"decisions": 16, "minibatches": 2, "epochs": 1},
        "sac": {"decisions": 16, "learning_starts": 8, "gradient_steps": 1},
    }.get(algorithm, {})
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


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "offline"])
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
        chosen = alone.rates.guidance
        assert (chosen is not None) == (cell.choice.policy is not None)
        if chosen is not None:
            stacked = records[cell.id].rates.guidance
            assert stacked["proxy_kl"] == pytest.approx(chosen["proxy_kl"], rel=2e-3)
            assert len(chosen["proxy_kl"]) == len(alone.rates.step)


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
