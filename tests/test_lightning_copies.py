"""Copies, exceptions and checkpoints of a Lightning run with a controller."""

from __future__ import annotations

import copy
import io
import logging
import pickle

import pytest
import torch
from fits import Module, fit
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from loops import STEPS, Watchful, adamw

from l2o.integrations.lightning import LRCallback


class Keeps(Callback):
    def __init__(self, *things):
        self.things, self.copies = things, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for thing in (pl_module.net, *self.things):
            self.copies += [copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))]
            torch.save(thing, io.BytesIO())


def test_model_and_callback_can_be_copied_at_any_time(tmp_path):
    callback = LRCallback(Watchful())
    keeps = Keeps(callback)
    assert pickle.loads(pickle.dumps(callback)).history == []
    fit(Module(), [callback, keeps], tmp_path)
    kept = [thing for thing in keeps.copies if isinstance(thing, LRCallback)]
    assert len(kept) == 2 * STEPS
    assert all(c.controller is None for c in kept)
    for again in (copy.deepcopy(callback), pickle.loads(pickle.dumps(copy.copy(callback)))):
        assert again.controllers == []
        assert again.history == callback.history
        fit(Module(), [again], tmp_path)
        assert again.controller.report()["steps"] == STEPS


class Breaks(Module):
    """Raises once; its optimizer is the same in each fit."""

    def __init__(self):
        super().__init__()
        self.optimizer, self.broken = adamw(self.net), False

    def configure_optimizers(self):
        return self.optimizer

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx == 2 and not self.broken:
            self.broken = True
            raise RuntimeError("broken")


@pytest.mark.parametrize("same", [True, False])
def test_after_an_exception_another_fit_begins_anew(same, tmp_path):
    callback, module = LRCallback(Watchful()), Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        fit(module, [callback], tmp_path)
    assert not any(v for k, v in vars(module.optimizer).items() if k.endswith("_step_post_hooks"))
    again = callback if same else LRCallback(Watchful())
    fit(module, [again], tmp_path)
    assert again.controller.report()["steps"] == STEPS


def messages(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "l2o"]


def test_a_checkpoint_saved_after_the_fit_has_the_state(tmp_path, caplog):
    trainer = fit(Module(), [LRCallback(Watchful())], tmp_path)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    callback = LRCallback(Watchful())
    with caplog.at_level(logging.WARNING, logger="l2o"):
        fit(Module(), [callback], tmp_path, max_epochs=2, ckpt_path=str(tmp_path / "end.ckpt"))
    assert messages(caplog) == []
    # The schedule has ended: steps at rate 0 are not counted, those before it were.
    assert callback.controller.report()["steps"] == STEPS


def test_without_a_state_of_that_step_a_controller_begins_anew(tmp_path, caplog):
    """A checkpoint of a run without a controller, and one with the state of another step."""
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=4, filename="plain")
    fit(Module(), [saving], tmp_path, max_steps=4)
    stale = ModelCheckpoint(tmp_path, every_n_train_steps=4, filename="stale")
    fit(Module(), [LRCallback(Watchful()), stale], tmp_path, max_steps=4)
    held = torch.load(tmp_path / "stale.ckpt", weights_only=False)
    held["l2o"]["global_step"] = 2
    torch.save(held, tmp_path / "stale.ckpt")
    for name in ("plain", "stale"):
        caplog.clear()
        callback = LRCallback(Watchful())
        with caplog.at_level(logging.WARNING, logger="l2o"):
            fit(Module(), [callback], tmp_path, ckpt_path=str(tmp_path / f"{name}.ckpt"))
        assert len(messages(caplog)) == 1
        assert "goes on at step 4, without a controller's state of that step" in caplog.text
        assert callback.controller.report()["steps"] == STEPS - 4
        assert callback.controller.meter.total_steps == STEPS - 4
