"""Rules: numbers against plain references, and rows of benchmarks that name them."""

import doctest
import importlib
import json
import pkgutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from stacked_cells import assert_alike, settings, stacked_records
from tiny import TinyFamily

import l2o.rules
from l2o.benchmarks import make_plan
from l2o.benchmarks.cells.cell import run_cell
from l2o.benchmarks.comparisons.kinds import run_benchmark
from l2o.configs.schema import FineTuning, Named, PolicyChoice, Row
from l2o.deciding.by_name import NAMED_RULES
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.policy_choice import build_policy
from l2o.rules import LAMB, LARS, RULES, AutoRGN, ConstantLayers, Random, TrustRatio

OPTIONS = {"constant_layers": {"multipliers": (0.1, 0.5, 1.0)}}


@pytest.mark.parametrize("name", RULES)
def test_contract(name):
    rule = RULES[name](**OPTIONS.get(name, {}))
    state = rule.initial_state(3)
    observation = torch.ones(3, len(rule.signals))
    for _ in range(2):
        multipliers, state = rule(observation, state)
        assert multipliers.shape == (3,)
        assert multipliers.dtype == torch.float32
        assert (multipliers >= 0).all()
        assert torch.isfinite(multipliers).all()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert rule == RULES[name](**OPTIONS.get(name, {}))


def test_auto_rgn_follows_the_gradients_of_a_fine_tune():
    run = FineTune(TinyFamily(steps=4).sample(0), FineTuning(interval=1), policy=AutoRGN())
    assert list(run.controller.multipliers.values()) == [1.0] * 3  # there is no gradient yet
    seen = {}
    step = run.optimizer.step

    def watched():
        for group in run.controller.groups:
            gradient = torch.cat([p.grad.flatten() for p in group.parameters])
            seen[group.name] = gradient.norm().item(), group
        step()

    run.optimizer.step = watched
    for _ in range(3):
        run.advance(1)
        # The signal compares with the weights as they are after the step.
        ratios = {
            name: norm / torch.cat([p.detach().flatten() for p in group.parameters]).norm().item()
            for name, (norm, group) in seen.items()
        }
        expected = {name: ratio / max(ratios.values()) for name, ratio in ratios.items()}
        assert run.controller.multipliers == pytest.approx(expected, rel=1e-4)


class Watched:
    """Runs a fine-tune step by step and tells each group's norms of weights, gradient, update."""

    def __init__(self, policy, **options):
        task = TinyFamily(steps=8).sample(0)
        config = FineTuning(interval=1, **options)
        self.run = FineTune(task, config, policy=policy, base_lr=0.01)
        self.groups = self.run.controller.groups
        self.gradients = {}
        step = self.run.optimizer.step

        def watched():
            for group in self.groups:
                self.gradients[group.name] = norm(p.grad for p in group.parameters)
            step()

        self.run.optimizer.step = watched

    def multipliers(self):
        return self.run.controller.multipliers

    def advance(self):
        """Return the norms (‖θ‖ after the step, ‖g‖, ‖Δθ‖) by group."""
        before = [[p.detach().clone() for p in group.parameters] for group in self.groups]
        self.run.advance(1)
        norms = {}
        for group, old in zip(self.groups, before, strict=True):
            moved = norm(p - q for p, q in zip(group.parameters, old, strict=True))
            norms[group.name] = norm(group.parameters), self.gradients[group.name], moved
        return norms


def norm(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).norm().item()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "rule",
    [
        TrustRatio(change=1e6),
        TrustRatio(size=3e-3, depth_factor=0.5, head=10.0, anneal=False, change=1e6),
        TrustRatio(change=2.0),
        LAMB(change=1e6),
    ],
    ids=["trust ratio", "by depth", "slow", "lamb"],
)
def test_relative_steps_follow_the_updates_of_a_fine_tune(rule, optimizer):
    watched = Watched(rule, optimizer=Named(name=optimizer))
    groups = watched.groups
    expected = {group.name: rule.first_lr / 0.01 for group in groups}
    for step in range(1, 5):
        norms = watched.advance()
        size = 0.01 if isinstance(rule, LAMB) else rule.size
        for group in groups:
            weight, _, update = norms[group.name]
            depth = 1.0 if isinstance(rule, LAMB) else rule.depth_factor ** (1 - group.depth)
            wanted = size * depth * (rule.head if group.is_head else 1.0)
            wanted *= 0.5 * (1 + np.cos(np.pi * step / 8)) if rule.anneal else 1.0
            old = expected[group.name]
            new = old * wanted * weight / update
            expected[group.name] = min(max(new, old / rule.change), old * rule.change)
        assert watched.multipliers() == pytest.approx(expected, rel=1e-3)


def test_lars_follows_the_gradients_of_a_fine_tune():
    rule = LARS(trust=0.02, weight_decay=0.1, head=5.0)
    watched = Watched(rule)
    for step in range(1, 5):
        norms = watched.advance()
        fall = 0.5 * (1 + np.cos(np.pi * step / 8))
        expected = {}
        for group in watched.groups:
            weight, gradient, _ = norms[group.name]
            factor = 0.02 * fall * (5.0 if group.is_head else 1.0)
            expected[group.name] = factor * weight / (gradient + 0.1 * weight)
        assert watched.multipliers() == pytest.approx(expected, rel=1e-3)


def test_a_layer_that_does_not_move_keeps_its_multiplier():
    rule = TrustRatio()
    row = dict.fromkeys(rule.signals.names, 0.0) | {"present": 1.0, "has_gradient": 1.0}
    seen = torch.tensor([list((row | {"multiplier": -1.0, "update_norm": -2.0}).values())])
    torch.testing.assert_close(rule(seen, {})[0], torch.tensor([1e-3]))


@pytest.mark.parametrize("name", sorted(NAMED_RULES))
def test_rules_without_arguments_have_names(name):
    assert l2o.load_policy(name) == RULES[name.replace("-", "_")]()
    assert l2o.load_policy(name.replace("-", "_")) == l2o.load_policy(name)
    assert l2o.Guard(fallback=name).fallback == l2o.load_policy(name)


def test_a_folder_of_the_name_of_a_rule_counts_if_it_is_a_bundle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lars").mkdir()
    assert isinstance(l2o.load_policy("lars"), LARS)
    learned = l2o.load_policy("asg-lite")
    l2o.save_policy(tmp_path / "lars", learned, {"name": "mine"})
    assert l2o.load_policy("lars").signals == learned.signals


def test_names_hold_every_rule_that_can_be_made_without_arguments():
    assert {name.replace("-", "_") for name in NAMED_RULES} == RULES.keys() - OPTIONS.keys()
    with pytest.raises(ValueError, match=r"unknown policy 'trust-ration'.*mean 'trust-ratio'"):
        l2o.load_policy("trust-ration")
    with pytest.raises(ValueError, match=r"unknown fallback 'cosin'.*Did you mean 'cosine'"):
        l2o.Guard(fallback="cosin")


def test_auto_rgn_leaves_out_padding_and_layers_without_a_gradient():
    #                     present, log10(r) / 4, has_gradient
    seen = torch.tensor([[1.0, 0.25, 1.0], [1.0, 0.0, 0.0], [1.0, -0.25, 1.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(AutoRGN()(seen, {})[0], torch.tensor([1.0, 0.0, 0.01, 0.0]))


def draws(rule, decisions=3, layers=4):
    state, drawn = rule.initial_state(layers), []
    for _ in range(decisions):
        multipliers, state = rule(torch.ones(layers, 1), state)
        drawn.append(multipliers)
    return torch.stack(drawn)


def test_random_is_constant_or_drawn_anew_and_differs_by_run_and_seed():
    once = draws(Random())
    assert torch.equal(once, once[:1].expand(3, 4))
    assert len(once[0].unique()) == 4
    anew = draws(Random(redraw=True))
    assert len(anew.unique()) == 12
    assert torch.equal(anew, draws(Random(redraw=True)))
    for other in (Random(seed=1), Random().for_run(0, 1), Random().for_run(1, 0)):
        assert not torch.equal(draws(other), once)


def test_random_is_log_uniform():
    drawn = draws(Random(low=0.01, high=1.0), decisions=1, layers=4000).log10()
    edges = torch.linspace(-2, 0, 5, dtype=drawn.dtype)
    shares = torch.histogram(drawn.flatten(), edges).hist / 4000
    assert shares.sum() == 1.0
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Random(low=0.0), "low"),
        (lambda: Random(low=1.0, high=0.5), "high"),
        (lambda: Random(seed=-1), "seed"),
        (lambda: TrustRatio(size=-1.0), "size"),
        (lambda: TrustRatio(depth_factor=0.0), "depth_factor"),
        (lambda: TrustRatio(head=-1.0), "head"),
        (lambda: TrustRatio(change=1.0), "change"),
        (lambda: LAMB(first_lr=0.0), "first_lr"),
        (lambda: LARS(trust=-1.0), "trust"),
        (lambda: ConstantLayers(()), "empty"),
        (lambda: ConstantLayers((1.0, -1.0)), "multipliers"),
        (lambda: ConstantLayers((1.0,))(torch.ones(2, 1), {}), "1 multipliers.*2 layer groups"),
        (lambda: build_policy(PolicyChoice(rule="auto_rng")), "Did you mean 'auto_rgn'"),
        (lambda: PolicyChoice(rule="random", policy="asg-2020"), "leave one of them out"),
    ],
)
def test_refusals(make, message):
    with pytest.raises((ValueError, ValidationError), match=message):
        make()


def test_constant_layers_refuses_another_network_before_the_first_step():
    with pytest.raises(ValueError, match=r"2 multipliers.*3 layer groups"):
        FineTune(TinyFamily().sample(0), FineTuning(), policy=ConstantLayers((0.1, 1.0)))


def test_rows_under_rules_are_the_same_stacked_and_alone():
    multipliers = {"multipliers": [0.1, 0.5, 1.0]}
    config = settings(
        tasks=1,
        rows=(
            Row(label="auto-rgn", rule="auto_rgn"),
            Row(label="trust ratio", policy="trust-ratio"),
            Row(label="lars", rule="lars"),
            Row(label="drawn", rule="random"),
            Row(label="anew", rule=Named(name="random", options={"redraw": True, "high": 1.0})),
            Row(label="given", rule=Named(name="constant_layers", options=multipliers)),
            Row(label="stops", rule="auto_rgn", early_stopping={"patience": 1}),
        ),
    )
    records, notes = stacked_records(config)
    assert not notes
    for cell in make_plan(config).cells:
        assert_alike(records[cell.id], run_cell(cell), loss=1e-3, images=1)
    drawn = [r for c, r in _pairs(config, records) if c.choice.rule == Named(name="random")]
    assert len({r.rates.multipliers[0] for r in drawn}) == 2  # seeds


def _pairs(config, records):
    return [(cell, records[cell.id]) for cell in make_plan(config).cells]


def test_rows_have_their_own_optimizer_and_base_lr(tmp_path):
    config = settings(
        steps=6,
        tasks=1,
        rows=(
            Row(label="theirs"),
            Row(label="adam", optimizer=Named(name="adam", options={"eps": 0.1})),
            Row(label="absolute", optimizer="rmsprop", base_lr=0.001),
        ),
    )
    plan = make_plan(config)
    assert [row.optimizer for row in plan.rows] == ["sgd", "adam(eps=0.1)", "rmsprop"]
    assert len(plan.cells) == 4 + 4 + 2  # two factors, or one fine-tune for both
    results = json.loads(run_benchmark(config, tmp_path, workers=1, progress=False).read_text())
    theirs, _, absolute = results["rows"]
    assert [block["factors"] for block in absolute["by_factor"]] == [[0.1], [3.0]]
    first, second = absolute["by_factor"]
    assert first["scores"] == second["scores"]
    assert first["fine_tunes"] == second["fine_tunes"] == 2
    assert absolute["missing"] == theirs["missing"] == 0
    records, _ = stacked_records(config)
    for row, rates in zip(plan.rows, ([0.005, 0.15], [0.005, 0.15], [0.001]), strict=True):
        made = {records[cell.id].rates.base_lr for cell in row.cells}
        assert sorted(made) == pytest.approx(rates)


def test_docstrings_run():
    for info in pkgutil.iter_modules(l2o.rules.__path__):
        module = importlib.import_module(f"l2o.rules.{info.name}")
        result = doctest.testmod(module, extraglobs={"torch": torch})
        assert result.failed == 0, module.__name__
