"""StackedFineTune equals FineTune, run by run and step by step."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TinyFamily, TinyNetwork

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.optimizers import OPTIMIZERS
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
from l2o.envs.stacked.start import batch_table
from l2o.envs.tasks import Examples
from l2o.envs.tasks.digits.family import DigitsFamily
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS
from l2o.signals.spec import SignalSpec

LAYERS = 4
STACKABLE = [name for name, kind in OPTIMIZERS.items() if kind in STACKED_OPTIMIZERS]


def in_double(task):
    """Return a task in float64."""

    def double(examples):
        return Examples(examples.images.double(), examples.labels)

    names = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")
    changed = {name: double(getattr(task, name)) for name in names}
    build = task.build_model
    head = copy.deepcopy(task.proxy_head).double()
    logits = task.teacher_logits.double()
    importance = {name: omega.double() for name, omega in task.importance().items()}
    facts = {**vars(task), **changed, "proxy_head": head, "teacher_logits": logits}
    facts["importance"] = lambda: importance
    return type(task)(**{**facts, "build_model": lambda: build().double()})


def pair(starts, config, layers=LAYERS, **options):
    """Return the same fine-tunes, stacked and one by one."""
    options = {"signals": SignalSpec((*DEFAULT_SIGNALS, *KIND_SIGNALS)), **options}
    runs = StackedFineTune(config, len(starts), layers, **options)
    runs.reset(dict(enumerate(starts)))
    singles = [
        FineTune(
            start.task,
            config,
            base_lr=start.base_lr,
            seed=start.seed,
            validate=runs.validate,
            signals=runs.spec,
            guidance_actions=runs.guidance_actions,
        )
        for start in starts
    ]
    return runs, singles


def advance(runs, singles, multipliers, only=None):
    runs.set_multipliers(multipliers)
    runs.advance(only)
    for number, single in enumerate(singles):
        if not single.done and (only is None or only[number]):
            rows = len(single.controller.rows)
            single.controller.set_multipliers(multipliers[number, :rows])
            single.advance(single.window)


def assert_equal(runs, singles, tolerance, signals=1e-3):
    observation = runs.observation
    for number, single in enumerate(singles):
        assert runs.step[number] == single.step
        assert runs.diverged[number] == single.diverged
        seen = single.controller.observation
        torch.testing.assert_close(
            observation[number, : len(seen)], seen, atol=signals, rtol=signals
        )
        assert not observation[number, len(seen) :].any()
        assert_near(runs.last_loss[number], single.last_loss, max(tolerance, 1e-6))
        assert_near(runs.last_proxy_kl[number], single.last_proxy_kl, max(tolerance, 1e-6))
        if not single.diverged:
            weights = runs.weights(number)
            for name, weight in single.model.named_parameters():
                torch.testing.assert_close(weights[name], weight, atol=tolerance, rtol=tolerance)


def assert_near(mine, theirs, tolerance):
    np.testing.assert_allclose(float(mine), theirs, rtol=tolerance, atol=tolerance)


def assert_scores_equal(runs, singles, tolerance):
    for split in ("source_validation", "target_validation", "target_test"):
        found = runs.evaluate([split])[split]
        for number, single in enumerate(singles):
            assert found.keys() == single.scores(split).keys()
            for name, value in single.scores(split).items():
                near = tolerance if name == "loss" else 1e-6
                assert_near(found[name][number], value, near)
    kept = runs.evaluate(["proxy_test"])["proxy_test"]["accuracy"]
    for value, single in zip(kept, singles, strict=True):
        assert_near(value, single.proxy_scores()["accuracy"], 1e-6)


OPTIONS = {
    "sgd": [{}, {"momentum": 0.0}, {"nesterov": True}, {"weight_decay": 0.1}],
    "sgd_lr_momentum": [{}, {"weight_decay": 0.1}, {"momentum": 0.5}],
    "adam": [{}, {"weight_decay": 0.1, "betas": [0.5, 0.9]}],
    "adamw": [{}, {"weight_decay": 0.3, "eps": 1e-3}],
    # With a small ε it divides small gradients by themselves, and what rounding did to them grows.
    "rmsprop": [{"eps": 0.1}, {"momentum": 0.5, "weight_decay": 0.1, "eps": 0.1}],
    "lion": [{}, {"weight_decay": 0.3, "betas": [0.5, 0.9]}],
}
ROWS = [(name, options) for name, rows in OPTIONS.items() for options in rows]


GUIDED = [
    {},
    {"proxy_kl": {"weight": 0.5}},
    {"proxy_kl": {"cap": 0.01}},
    {"l2_sp": {"weight": 0.5}, "si": {"weight": {"schedule": "linear", "value": 2.0}}},
    {"feature_l2": {"weight": 0.3}},
    {"si": {"cap": 1e-4}, "feature_l2": {"cap": 0.1}, "l2_sp": {"cap": 1e-3}, "proxy_kl": {}},
]


def test_every_optimizer_is_compared():
    assert OPTIONS.keys() == set(STACKABLE)


@pytest.mark.parametrize(("name", "options"), ROWS)
@pytest.mark.parametrize("count", [1, 8])
def test_equals_single_runs_in_double_precision(name, options, count):
    config = FineTuning.model_validate(
        {"interval": 5, "optimizer": {"name": name, "options": options}}
    )
    family = TinyFamily(steps=13)
    starts = [
        Start(in_double(family.sample(seed)), seed=seed, base_lr=0.01 * 1.7**seed)
        for seed in range(count)
    ]
    runs, singles = pair(starts, config, validate=True)
    generator = torch.Generator().manual_seed(count)
    while not runs.done.all():
        advance(runs, singles, 2 * torch.rand(count, LAYERS, generator=generator))
        assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


@settings(max_examples=12, deadline=None)
@given(
    row=st.sampled_from(ROWS),
    base_lrs=st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    zero=st.booleans(),
    guidance=st.sampled_from(GUIDED),
    chunk=st.integers(1, 4),
)
def test_equals_single_runs_whatever_is_chosen(row, base_lrs, seed, zero, guidance, chunk):
    name, options = row
    config = FineTuning.model_validate(
        {"interval": 4, "optimizer": {"name": name, "options": options}, "guidance": guidance}
    )
    family = TinyFamily(steps=10)
    tasks = [in_double(family.sample(seed + number)) for number in range(len(base_lrs))]
    starts = [Start(task, seed + n, base_lrs[n]) for n, task in enumerate(tasks)]
    runs, singles = pair(starts, config, chunk=chunk)
    generator = torch.Generator().manual_seed(seed)
    while not runs.done.all():
        multipliers = torch.rand(len(starts), LAYERS, generator=generator) * 3
        advance(runs, singles, multipliers * (multipliers > 1.0) if zero else multipliers)
        assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


@pytest.mark.parametrize("optimizer", STACKABLE)
@pytest.mark.parametrize("count", [1, 8])
def test_equals_single_runs_in_single_precision(optimizer, count):
    config = FineTuning.model_validate({"interval": 5, "optimizer": {"name": optimizer}})
    starts = [Start(TinyFamily().sample(n), n, 0.02) for n in range(count)]
    runs, singles = pair(starts, config)
    while not runs.done.all():
        advance(runs, singles, torch.full((count, LAYERS), 0.5))
        # Of a KL near zero float32 holds few digits, so its trend is not compared.
        for number, single in enumerate(singles):
            assert_near(runs.last_loss[number], single.last_loss, 1e-5)
            assert_near(runs.last_proxy_kl[number], single.last_proxy_kl, 1e-5)
    assert_scores_equal(runs, singles, 1e-5)


def test_one_that_diverges_leaves_its_neighbours_alone():
    family, config = TinyFamily(), FineTuning(interval=5)
    starts = [Start(in_double(family.sample(0)), 0, lr) for lr in (0.02, 1e300, 0.05)]
    runs, singles = pair(starts, config)
    while not runs.done.all():
        advance(runs, singles, torch.ones(3, LAYERS))
        assert_equal(runs, singles, 1e-5)
    assert runs.diverged.tolist() == [False, True, False]
    accuracies = runs.evaluate(["target_test"])["target_test"]["accuracy"]
    assert accuracies[1] == singles[1].scores("target_test")["accuracy"]
    assert torch.isfinite(runs.observation).all()


@pytest.mark.parametrize("optimizer", ["sgd", "sgd_lr_momentum", "adamw"])
def test_runs_of_different_length_and_phase(optimizer):
    """Runs end within windows, stand still while others go on, and begin anew at any time."""
    config = FineTuning.model_validate({"interval": 5, "optimizer": {"name": optimizer}})
    starts = [
        Start(in_double(TinyFamily(steps=steps, examples=size).sample(steps)), steps, 0.02)
        for steps, size in ((7, 40), (12, 33), (18, 9))
    ]
    runs, singles = pair(starts, config)
    generator = torch.Generator().manual_seed(0)
    for turn in range(9):
        only = torch.rand(3, generator=generator).numpy() < 0.7
        advance(runs, singles, torch.rand(3, LAYERS, generator=generator) * 2, only)
        assert_equal(runs, singles, 1e-10)
        if turn == 4:
            again = Start(in_double(TinyFamily(steps=15).sample(77)), 78, 0.01)
            runs.reset({1: again})
            singles[1] = FineTune(again.task, config, base_lr=0.01, seed=78, signals=runs.spec)
            assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


def test_each_run_may_have_its_own_optimizer_and_guidance():
    task = in_double(TinyFamily().sample(0))
    settings_of_runs = [("sgd", {}, 0.3), ("adam", {}, 2.0), ("sgd", {"momentum": 0.0}, 0.0)]
    made = [OPTIMIZERS[name](**options) for name, options, _ in settings_of_runs]
    starts = [
        Start(task, 0, 0.01, optimizer, {"proxy_kl": weight})
        for optimizer, (_, _, weight) in zip(made, settings_of_runs, strict=True)
    ]
    runs = StackedFineTune(FineTuning(interval=5), 3, LAYERS)
    runs.reset(dict(enumerate(starts)))
    singles = []
    for name, options, weight in settings_of_runs:
        config = {"interval": 5, "optimizer": {"name": name, "options": options}}
        config["guidance"] = {"proxy_kl": {"weight": weight}}
        singles.append(FineTune(task, FineTuning.model_validate(config), base_lr=0.01))
    for _ in range(3):
        advance(runs, singles, torch.full((3, LAYERS), 0.5))
        assert_equal(runs, singles, 1e-10)


def test_networks_of_several_architectures(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    family = DigitsFamily(
        networks=3,
        width=(4,),
        depth=(3, 4, 5),
        pretrain_steps=3,
        source_images=(40, 64),
        source_validation_images=20,
        target_validation_images=20,
        target_test_images=20,
        proxy_test_images=20,
        steps=8,
        batch_size=8,
    )
    starts = [Start(in_double(family.sample(seed)), seed, 0.02) for seed in range(6)]
    runs, singles = pair(starts, FineTuning(interval=4), family.max_layers)
    assert len({len(single.controller.groups) for single in singles}) > 1
    assert not runs.reasons, "the digits networks take the fast path"
    for _ in range(2):
        advance(runs, singles, torch.full((6, family.max_layers), 0.7))
        assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


@pytest.mark.parametrize(("examples", "size"), [(40, 8), (41, 8), (5, 8), (8, 8)])
def test_batch_table_is_the_order_of_single_runs(examples, size):
    table = batch_table(examples, size, seed=3, steps=17)
    expected = [index for index, _ in zip(batches(examples, size, 3), range(17))]
    assert torch.equal(table, torch.stack(expected))


def test_bf16_is_near_and_unknown_precisions_are_refused():
    starts = [Start(TinyFamily().sample(n), n, 0.02) for n in range(2)]
    runs, singles = pair(starts, FineTuning(interval=5), precision="bf16")
    advance(runs, singles, torch.ones(2, LAYERS))
    for mine, single in zip(runs.last_loss, singles, strict=True):
        assert float(mine) == pytest.approx(single.last_loss, rel=0.05)
        assert float(mine) != single.last_loss
    with pytest.raises(ValueError, match="must be one of float32, tf32, bf16"):
        StackedFineTune(FineTuning(), 1, LAYERS, precision="fp8")


def test_refusals_say_what_to_do():
    task = TinyFamily().sample(0)
    with pytest.raises(ValueError, match="max_layers"):
        StackedFineTune(FineTuning(), 1, 2).reset({0: Start(task)})
    runs = StackedFineTune(FineTuning(), 2, LAYERS)
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        runs.set_multipliers(torch.ones(2, 3))
    with pytest.raises(ValueError, match="finite and not negative"):
        runs.set_multipliers(torch.full((2, LAYERS), -1.0))
    assert runs.evaluate(["target_test"], []) == {"target_test": {}}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", STACKABLE)
def test_equals_single_runs_on_cuda(optimizer):
    config = {"interval": 5, "optimizer": {"name": optimizer}, "device": "cuda"}
    starts = [Start(in_double(TinyFamily(steps=13).sample(n)), n, 0.02) for n in range(4)]
    runs, singles = pair(starts, FineTuning.model_validate(config))
    while not runs.done.all():
        advance(runs, singles, torch.full((4, LAYERS), 0.5))
        for number, single in enumerate(singles):
            assert_near(runs.last_loss[number], single.last_loss, 1e-6)
            for name, weight in single.model.named_parameters():
                torch.testing.assert_close(runs.weights(number)[name], weight)
    assert not runs.not_captured()


def test_a_loss_that_is_infinite_but_a_number_is_divergence(monkeypatch):
    """Logits of ±3e38 are numbers, their cross-entropy is inf."""

    def large(self, x):
        return (self.head(x) * 10).tanh() * 3e38

    monkeypatch.setattr(TinyNetwork, "forward_head", large)
    starts = [Start(TinyFamily().sample(n), n, 1e-9) for n in range(3)]
    runs, singles = pair(starts, FineTuning(interval=1))
    advance(runs, singles, torch.zeros(3, LAYERS))
    assert [single.diverged for single in singles] == [True] * 3
    assert runs.diverged.tolist() == [True] * 3
    assert runs.last_loss.tolist() == [single.last_loss for single in singles]
