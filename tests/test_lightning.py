"""The callback for Lightning, against Lightning itself."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from fits import Module, fit
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from loops import (
    STEPS,
    Data,
    Net,
    Watchful,
    adamw,
    adamw_by_layer,
    equal,
    multipliers,
    plain_loop,
)

import l2o
from l2o.integrations.lightning import LRCallback
from l2o.integrations.networks import network_of
from l2o.layers.groups import group_layers

OPTIMIZERS = {
    "split by decay": (adamw, {"mode": "update_scale"}),
    "split by layer": (adamw_by_layer, {"mode": "groups"}),
}


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("layout", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_equals_a_plain_loop(accumulate, layout, tmp_path):
    optimize, options = OPTIMIZERS[layout]
    callback, module = LRCallback(Watchful(), **options), Module(optimize)
    data = Data(STEPS * accumulate)
    fit(module, [callback], tmp_path, data, accumulate_grad_batches=accumulate)
    policy, controller, wanted = plain_loop(accumulate, optimize, **options)
    assert callback.policy.losses == policy.losses
    assert multipliers(callback.controller) == multipliers(controller)
    assert len(set(multipliers(controller))) == 5
    assert equal(module.net, wanted)
    assert callback.controller.meter.total_steps == STEPS


class Manual(LightningModule):
    """Two networks with an optimizer each; the second steps every other batch."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.one, self.two = Net(), Net()

    def configure_optimizers(self):
        return adamw_by_layer(self.one), adamw_by_layer(self.two)

    def training_step(self, batch, index):
        for position, (net, optimizer) in enumerate(
            zip((self.one, self.two), self.optimizers(), strict=True)
        ):
            if position and index % 2:
                continue
            optimizer.zero_grad()
            self.manual_backward(net(**batch)["loss"])
            optimizer.step()


def train_by_hand(batches):
    """What one of the two networks goes through."""
    policy, model = Watchful(), Net()
    optimizer = adamw_by_layer(model)
    controller = l2o.LRController(policy, optimizer, model, total_steps=STEPS)
    for index, batch in enumerate(Data().loader()):
        if index in batches:
            optimizer.zero_grad()
            loss = model(**batch)["loss"]
            controller.observe(loss=loss)
            loss.backward()
            optimizer.step()
    return policy, controller, model


def test_manual_optimization_of_several_optimizers(tmp_path):
    callback, module = LRCallback([Watchful(), Watchful()]), Manual()
    fit(module, [callback], tmp_path)
    every, other = train_by_hand(range(STEPS)), train_by_hand(range(0, STEPS, 2))
    for index, (net, (policy, controller, wanted)) in enumerate(
        zip((module.one, module.two), (every, other), strict=True)
    ):
        mine = callback.controllers[index]
        assert mine.policy.losses == policy.losses
        assert multipliers(mine) == multipliers(controller)
        assert equal(net, wanted)
        assert [g.name for g in mine.groups] == ["first", "second", "head"]


def test_an_optimizer_can_be_left_alone(tmp_path):
    callback, module = LRCallback([None, Watchful()]), Manual()
    fit(module, [callback], tmp_path)
    assert callback.controllers[0] is None
    assert callback.controller is callback.controllers[1]
    with pytest.raises(ValueError, match="1 policies for 2 optimizers"):
        fit(Manual(), [LRCallback([Watchful()])], tmp_path)


@pytest.mark.parametrize("layout", OPTIMIZERS)
def test_a_resumed_run_goes_on_bit_equal(layout, tmp_path):
    optimize, options = OPTIMIZERS[layout]

    def begin(folder, **more):
        callback, module = LRCallback(Watchful(), **options), Module(optimize)
        saving = ModelCheckpoint(folder, every_n_train_steps=4, save_top_k=-1, filename="{step}")
        # Two epochs: within one, Lightning does not skip the batches that were done.
        fit(module, [callback, saving], folder, Data(STEPS // 2), max_epochs=2, **more)
        return callback.controller, module

    wanted, whole = begin(tmp_path / "whole")
    checkpoint = str(tmp_path / "whole" / "step=4.ckpt")
    controller, again = begin(tmp_path / "again", ckpt_path=checkpoint)
    assert controller.report()["steps"] == STEPS
    assert multipliers(controller) == multipliers(wanted)[3:]
    assert controller.get_last_lr() == wanted.get_last_lr()
    assert equal(again.net, whole.net)


def test_checkpoints_go_to_and_from_runs_without_a_controller(tmp_path):
    saving = ModelCheckpoint(tmp_path / "with", every_n_train_steps=4, filename="{step}")
    fit(Module(), [LRCallback(Watchful()), saving], tmp_path, max_steps=4)
    trainer = fit(Module(), [], tmp_path, ckpt_path=str(tmp_path / "with" / "step=4.ckpt"))
    assert trainer.global_step == STEPS
    saving = ModelCheckpoint(tmp_path / "without", every_n_train_steps=4, filename="{step}")
    fit(Module(), [saving], tmp_path, max_steps=4)
    callback = LRCallback(Watchful())
    fit(Module(), [callback], tmp_path, ckpt_path=str(tmp_path / "without" / "step=4.ckpt"))
    assert callback.controller.report()["steps"] == 4


class Kept(Logger):
    """Keeps what is logged."""

    name, version = "kept", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows += [(step, metrics)] if any("learning_rate" in name for name in metrics) else []


def test_learning_rates_go_to_the_loggers(tmp_path):
    callback, kept = LRCallback(Watchful()), Kept()
    fit(Module(), [callback], tmp_path, logger=[kept, CSVLogger(tmp_path)])
    decisions = list(callback.controller.history)
    assert [tuple(rates.values()) for _, rates in kept.rows] == [
        d.learning_rates for d in decisions
    ]
    assert list(kept.rows[0][1]) == [
        f"learning_rate/{name}" for name in ("first", "second", "head")
    ]


def test_the_validation_loss_is_the_monitored_metric(tmp_path):
    callback, module = LRCallback(Watchful()), Module()
    trainer = fit(module, [callback], tmp_path, validation=Data(2).loader(), val_check_interval=4)
    seen = [float(row[0, 3]) for row in callback.policy.seen]
    # Validation follows steps 4 and 8; decisions are taken after 2, 4, 6 and 8.
    assert [value != 0 for value in seen] == [False, False, False, True, True]
    assert float(trainer.callback_metrics["val_loss"]) > 0


def test_fitting_twice_begins_anew(tmp_path):
    callback = LRCallback(Watchful())
    for _ in range(2):
        fit(Module(), [callback], tmp_path)
        assert callback.controller.report()["steps"] == STEPS


def test_an_optimizer_over_several_networks_has_the_groups_of_all():
    module = Manual()
    optimizer = torch.optim.SGD([*module.one.parameters(), *module.two.parameters()])
    assert network_of(module, optimizer) is module
    one, two = adamw(module.one), adamw(module.two)
    assert network_of(module, one, [one, two]) is module.one
    assert network_of(module, two, [one, two]) is module.two
    names = [group.name for group in group_layers(module)]
    assert names == ["one", "two"]


def test_a_length_that_lightning_does_not_know_is_not_given(tmp_path):
    callback = LRCallback(Watchful())
    with pytest.raises(RuntimeError, match="enough"):
        fit(Stopping(), [callback], tmp_path, max_epochs=-1)
    assert callback.controller.meter.total_steps is None
    assert torch.isfinite(torch.tensor(callback.policy.losses)).all()


class Stopping(Module):
    def on_train_epoch_end(self):
        if self.trainer.current_epoch:
            raise RuntimeError("enough")
