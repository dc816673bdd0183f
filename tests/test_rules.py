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
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.policy_choice import build_policy
from l2o.rules import RULES, AutoRGN, ConstantLayers, Random

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
