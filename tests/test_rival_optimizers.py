"""Optimizers that set their learning rates themselves: numbers, and evaluation where it differs."""

import sys

import pytest
import torch
from test_optimizers import gradients
from tiny import TinyFamily
from torch import nn

from l2o.benchmarks.comparisons.ablation.plan import Run, check_run
from l2o.configs.schema import FineTuning, Named, TrainConfig
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import build_optimizer
from l2o.envs.optimizers import OPTIMIZERS, ExtraOptimizer
from l2o.extras import MissingExtraError
from l2o.optimizers.hypergradient_sgd import HypergradientSGD

EXTRA = [name for name, kind in OPTIMIZERS.items() if issubclass(kind, ExtraOptimizer)]


def trained(optimizer, weights, steps=6):
    for rows in gradients(steps, (len(weights), 4)):
        for weight, row in zip(weights, rows, strict=True):
            weight.grad = row.clone()
        optimizer.step()
    return torch.stack([weight.detach() for weight in weights])


def two_weights():
    return [nn.Parameter(torch.linspace(-1, 1, 4, dtype=torch.float64)) for _ in range(2)]


def groups_of(weights, lr):
    return [{"params": [weight], "lr": lr} for weight in weights]


@pytest.mark.parametrize("additive", [False, True])
def test_hypergradient_descent_equals_a_plain_loop(additive):
    held = two_weights()
    optimizer = HypergradientSGD(groups_of(held, 0.1), 0.1, 0.02, 0.9, 0.05, additive)
    found = trained(optimizer, held)
    expected, rates = [], []
    for start, rows in zip(two_weights(), gradients(6, (2, 4)).unbind(1), strict=True):
        theta, direction, rate = start.detach().clone(), None, 0.1
        for row in rows:
            gradient = row + 0.05 * theta
            if direction is None:
                direction = gradient
            else:
                dot = gradient @ direction
                if additive:
                    rate = max(0.0, float(rate + 0.02 * dot))
                else:
                    rate = float(rate * (1 + 0.02 * dot / gradient.norm() / direction.norm()))
                direction = 0.9 * direction + gradient
            theta = theta - rate * direction
        expected.append(theta)
        rates.append(rate)
    torch.testing.assert_close(found, torch.stack(expected))
    assert [g["lr"] * g["factor"] for g in optimizer.param_groups] == pytest.approx(rates)
    assert rates[0] != rates[1]


def test_schedule_free_sgd_equals_a_plain_loop_where_it_is_judged():
    held = two_weights()
    optimizer = OPTIMIZERS["schedule_free_sgd"]().build(groups_of(held, 0.1))
    trained(optimizer, held)
    optimizer.eval()
    z = x = torch.stack([weight.detach() for weight in two_weights()])
    for count, rows in enumerate(gradients(6, (2, 4)), start=1):
        z = z - 0.1 * rows
        x = x + (z - x) / count
    torch.testing.assert_close(torch.stack([weight.detach() for weight in held]), x)


@pytest.mark.parametrize("name", ["dog", "l_dog"])
def test_dog_equals_a_plain_loop_and_is_judged_at_the_mean(name):
    held = two_weights()
    optimizer = OPTIMIZERS[name](reps_rel=0.01).build(groups_of(held, 1.0))
    # One vector of all layers, or each tensor, a row here, on its own.
    over = {"dim": (0, 1) if name == "dog" else 1, "keepdim": True}
    found = trained(optimizer, held)
    start = theta = torch.stack([weight.detach() for weight in two_weights()])
    distance, squares, mean = 0.01 * (1 + start.norm(**over)), 1e-8, None
    for step, rows in enumerate(gradients(6, (2, 4)), start=1):
        distance = torch.maximum(distance, (theta - start).norm(**over))
        squares = squares + rows.square().sum(**over)
        theta = theta - distance / squares**0.5 * rows
        mean = theta if mean is None else mean + 9 / (8 + step) * (theta - mean)
    torch.testing.assert_close(found, theta)
    optimizer.eval()
    torch.testing.assert_close(torch.stack([weight.detach() for weight in held]), mean)
    optimizer.train()
    assert torch.equal(torch.stack([weight.detach() for weight in held]), found)
    with pytest.raises(ValueError, match="one learning rate for all layers"):
        OPTIMIZERS[name]().build([*groups_of(held[:1], 1.0), *groups_of(held[1:], 0.1)])


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adam"])
def test_settings_reach_the_library(name):
    import dadaptation
    import prodigyopt

    options = {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "d0": 1e-2}
    held, theirs = two_weights(), two_weights()
    if name == "prodigy":
        wanted = prodigyopt.Prodigy(theirs, lr=1.0, **options)
    else:
        wanted = dadaptation.DAdaptAdam(theirs, lr=1.0, decouple=True, **options)
    made = OPTIMIZERS[name](**options).build(groups_of(held, 1.0))
    torch.testing.assert_close(trained(made, held), trained(wanted, theirs))


@pytest.mark.parametrize("name", [*EXTRA, "hypergradient_sgd"])
def test_fine_tunes_and_evaluations_leave_the_training_as_it_is(name):
    config = FineTuning(interval=5, optimizer=Named(name=name), guidance={})
    rate = 1.0 if name in ("prodigy", "dadapt_adam", "dog", "l_dog") else None
    runs = [FineTune(TinyFamily().sample(0), config, base_lr=rate) for _ in range(2)]
    for part in (5, 15):
        for run in runs:
            run.advance(part)
        assert runs[0].scores("target_test") == runs[0].scores("target_test")
        list(runs[0].outputs("target_test")), runs[0].proxy_scores()
    assert not runs[0].diverged
    pairs = zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EXTRA)
def test_a_package_that_is_missing_is_named_before_any_work(name, monkeypatch):
    monkeypatch.setitem(sys.modules, OPTIMIZERS[name].module, None)
    with pytest.raises(MissingExtraError, match=r'^optimizer \w+ needs .*"l2o\[rivals\]"$'):
        build_optimizer(FineTuning(optimizer=Named(name=name)))


def test_a_missing_package_is_told_with_where_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    task = {"task": {"name": "tiny:TinyFamily"}}
    config = TrainConfig.model_validate(task | {"finetuning": {"optimizer": {"name": "prodigy"}}})
    with pytest.raises(ValueError, match=r"^variant 'a': optimizer Prodigy needs prodigyopt: pip"):
        check_run(Run("a", 0, config, config, 1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hypergradient_sgd", {"hyper_lr": 1.0}),
        ("hypergradient_sgd", {"momentum": 1.0}),
        ("schedule_free_sgd", {"momentum": 0.0}),
        ("schedule_free_adamw", {"warmup_steps": -1}),
        ("prodigy", {"d0": 0.0}),
        ("dadapt_adam", {"d0": 0.0}),
        ("dog", {"reps_rel": 0.0}),
        ("dog", {"gamma": -1.0}),
    ],
)
def test_bad_arguments(name, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OPTIMIZERS[name](**options)
