"""The Trainer's callback does no harm: multipliers of one change nothing, and nothing is left."""

from __future__ import annotations

import copy
import io
import logging
import pickle

import pytest
import torch
import transformers
from loops import STEPS, Data, Net, Watchful, adamw, equal
from torch import nn
from trainers import trainer
from transformers import SchedulerType, Trainer

import l2o
from l2o.integrations.huggingface import LRCallback


class Ones(l2o.Policy):
    """Leaves the user's rates as they are."""

    signals = l2o.SignalSpec(("present", "loss", "has_loss", "validation_loss"))
    interval = 2

    def __call__(self, observation, state):
        return torch.ones(len(observation)), state


def hooks_on(model, optimizer=None):
    """Return all that hangs on the modules and the optimizer."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = [getattr(module, kind) for module in model.modules() for kind in kinds]
    found += [m.__dict__["forward"] for m in model.modules() if "forward" in vars(m)]
    if optimizer is not None:
        optimizer = getattr(optimizer, "optimizer", optimizer)
        found += [v for k, v in vars(optimizer).items() if k.endswith("_hooks")]
    # By values: what stands in for torch's dict of hooks forgets removed ones when asked.
    return [hooks for hooks in found if not hasattr(hooks, "values") or list(hooks.values())]


class Smoothed(Net):
    config = transformers.PretrainedConfig()  # label smoothing looks there for the kind of problem


class WithoutLoss(Net):
    config = transformers.PretrainedConfig()

    def forward(self, x, labels=None):
        return {"logits": super().forward(x)["logits"]}


def cross_entropy(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs["logits"], labels)


class OwnLoss(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **_):
        outputs = model(**inputs)
        loss = outputs["loss"] + 0.1 * outputs["logits"].square().mean()
        return (loss, outputs) if return_outputs else loss


SCHEDULES = {
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr": 1e-3},
    "warmup_stable_decay": {"num_stable_steps": 2, "num_decay_steps": 2},
    "polynomial": {"lr_end": 1e-4},
}
EVALUATES = {"eval_dataset": Data(2), "eval_strategy": "steps", "eval_steps": 2}
SAVES = {"save_strategy": "steps", "save_steps": 2}
STEADY = {"lr_scheduler_type": "constant"}  # steps at rate 0 are not counted
RUNS = {
    **{
        f"schedule {kind.value}": {
            "lr_scheduler_type": kind.value,
            "lr_scheduler_kwargs": SCHEDULES.get(kind.value, {}),
            "warmup_steps": 2,
            **EVALUATES,
        }
        for kind in SchedulerType
    },
    "warm-up by share": {"warmup_steps": 0.25},
    "accumulation": {"gradient_accumulation_steps": 3},
    "clipping": {"max_grad_norm": 0.1},
    "bf16": {"bf16": True},
    "sgd": {"optim": "sgd"},
    "adafactor": {"optim": "adafactor"},
    "label smoothing": {"label_smoothing_factor": 0.1, "model": Smoothed},
    "label smoothing without a loss": {"label_smoothing_factor": 0.1, "model": WithoutLoss},
    "own loss": {"kind": OwnLoss},
    "loss function": {"compute_loss_func": cross_entropy, "model": WithoutLoss},
    "evaluation first": {**EVALUATES, "eval_on_start": True},
    "several evaluations": {**EVALUATES, "eval_dataset": {"a": Data(2), "b": Data(1)}},
    "best model": {**EVALUATES, **SAVES, "load_best_model_at_end": True},
    "only the model is saved": {**SAVES, "save_only_model": True},
    "no logs": {"logging_strategy": "no"},
    "checkpointing": {"auto_find_batch_size": True},
}


def run(folder, callback, model=Net, **options):
    torch.manual_seed(5)
    built = model()
    training = trainer(folder, callback, built, **options)
    try:
        training.train()
    except Exception as error:
        return training, f"{type(error).__name__}: {error}"
    return training, None


@pytest.mark.parametrize("name", RUNS)
def test_multipliers_of_one_change_nothing(name, tmp_path):
    plain, wanted = run(tmp_path / "plain", None, **copy.deepcopy(RUNS[name]))
    callback = LRCallback(Ones())
    mine, got = run(tmp_path / "mine", callback, **copy.deepcopy(RUNS[name]))
    assert got == wanted
    if wanted is not None:
        pytest.skip(f"refused by the Trainer itself: {wanted}")
    assert equal(mine.model, plain.model)
    assert callback.controller.report()["interventions"] == {}
    assert len(callback.history) >= 2
    # accelerate wraps the forward of a model in bf16.
    left = [len(hooks_on(one.model, one.optimizer)) for one in (mine, plain)]
    assert left[0] == left[1]
    assert "training_step" not in vars(mine)


@pytest.mark.parametrize("name", ["label smoothing", "own loss", "loss function", "accumulation"])
def test_the_loss_is_that_of_the_trainer_s_log(name, tmp_path):
    callback = LRCallback(Watchful(), interval=1)
    mine, _ = run(tmp_path, callback, **RUNS[name], logging_steps=1)
    logged = [entry["loss"] for entry in mine.state.log_history if "loss" in entry]
    # The policy decides before the first step and after each; the last decision is after the end.
    assert callback.policy.losses[: len(logged)] == pytest.approx(logged, rel=1e-4)


class Breaks(transformers.TrainerCallback):
    """Raises in the middle of a step, once."""

    def __init__(self, at=2):
        self.at = at

    def on_pre_optimizer_step(self, args, state, control, **_):
        if state.global_step == self.at:
            self.at = -1
            raise RuntimeError("broken")


def test_after_an_exception_the_same_trainer_trains_again(tmp_path):
    callback, model = LRCallback(Ones()), Net()
    again = trainer(tmp_path, callback, model)
    again.add_callback(Breaks())
    with pytest.raises(RuntimeError, match="broken"):
        again.train()
    assert hooks_on(model) == []
    again.train()
    assert callback.controller.report()["steps"] == STEPS
    assert hooks_on(model, again.optimizer) == []


@pytest.mark.parametrize("follower", ["none", "another callback", "another Trainer"])
def test_after_an_exception_a_callback_lets_go(follower, tmp_path):
    callback, model = LRCallback(Ones()), Net()
    first = trainer(tmp_path, callback, model)
    first.add_callback(Breaks())
    with pytest.raises(RuntimeError, match="broken"):
        first.train()
    steps = callback.controller.steps
    follows, new = first, None
    if follower == "another Trainer":
        new = LRCallback(Ones())
        follows = trainer(tmp_path, new, model, optimizers=(first.optimizer.optimizer, None))
    else:
        first.remove_callback(callback)
        if follower == "another callback":
            new = LRCallback(Ones())
            first.add_callback(new)
    follows.train()
    assert callback.controller.steps == steps
    assert new is None or new.controller.steps == STEPS
    assert hooks_on(model, follows.optimizer) == []
    assert "training_step" not in vars(follows)


def test_training_twice_begins_anew(tmp_path):
    callback, model = LRCallback(Watchful()), Net()
    twice = trainer(tmp_path, callback, model)
    twice.train()
    first = callback.controller
    twice.train()
    assert callback.controller is not first
    assert callback.controller.report()["steps"] == first.report()["steps"] == STEPS


def test_two_trainers_with_the_same_callback(tmp_path):
    callback = LRCallback(Watchful())
    for part in "ab":
        one = trainer(tmp_path / part, callback)
        one.train()
        assert callback.controller.report()["steps"] == STEPS
        assert hooks_on(one.model, one.optimizer) == []


def test_two_callbacks_in_one_training_are_refused(tmp_path):
    twice = trainer(tmp_path, LRCallback(Ones()))
    twice.add_callback(LRCallback(Ones()))
    with pytest.raises(ValueError, match="has a controller already"):
        twice.train()


class Keeps(transformers.TrainerCallback):
    """Copies everything at every turn of a training."""

    def __init__(self, *more):
        self.more, self.copies = more, []

    def keep(self, model, **_):
        assert hooks_on(model) == []
        for thing in (model, *self.more):
            self.copies += [copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))]
            torch.save(thing, io.BytesIO())
        torch.export.export(model, (torch.ones(1, 5),))

    def on_substep_end(self, args, state, control, **given):
        self.keep(given["model"])

    def on_step_end(self, args, state, control, **given):
        if state.global_step == 2:
            self.keep(given["model"])


def test_model_and_callback_can_be_copied_while_training(tmp_path):
    callback = LRCallback(Ones(), log_to=tmp_path / "events")
    keeps = Keeps(callback)
    mine = trainer(tmp_path, callback, data=Data(4), gradient_accumulation_steps=2)
    mine.add_callback(keeps)
    mine.train()
    assert len(keeps.copies) == 12
    models = [thing for thing in keeps.copies if isinstance(thing, Net)]
    assert all(hooks_on(model) == [] for model in models)
    kept = [thing for thing in keeps.copies if isinstance(thing, LRCallback)]
    assert all(c.controller is None for c in kept)
    assert all(c.history == callback.history[: len(c.history)] for c in kept)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_of_a_callback_has_the_history_and_trains_itself(make, tmp_path):
    callback = LRCallback(Watchful())
    assert make(callback).history == []
    trainer(tmp_path / "a", callback).train()
    again = make(make(callback))
    assert again.controller is None
    assert again.history == callback.history
    assert len(again.history) == 5
    trainer(tmp_path / "b", again).train()
    assert again.controller.report()["steps"] == STEPS
    assert len(again.history) == 5


def resumed(folder, checkpoint, callback, caplog, **options):
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="l2o"):
        mine = trainer(folder, callback, **options)
        mine.train(resume_from_checkpoint=str(checkpoint))
    return mine, [r.getMessage() for r in caplog.records if r.name == "l2o"]


def test_a_stale_state_is_not_taken_over(tmp_path, caplog):
    half = {"max_steps": 4, **SAVES, **STEADY}
    trainer(tmp_path, LRCallback(Watchful()), **half).train()
    resumed(tmp_path, tmp_path / "checkpoint-4", None, caplog, max_steps=6, **SAVES, **STEADY)
    callback = LRCallback(Watchful())
    _, said = resumed(tmp_path, tmp_path / "checkpoint-6", callback, caplog, max_steps=8, **STEADY)
    assert len(said) == 1
    assert "step 6, the controller's state in it of step 4" in said[0]
    assert callback.controller.report()["steps"] == 2
    assert callback.controller.meter.total_steps == 2


def test_a_state_goes_on_silently(tmp_path, caplog):
    trainer(tmp_path, LRCallback(Watchful()), max_steps=4, **SAVES, **STEADY).train()
    callback = LRCallback(Watchful())
    _, said = resumed(tmp_path, tmp_path / "checkpoint-4", callback, caplog, max_steps=8, **STEADY)
    assert said == []
    assert callback.controller.report()["steps"] == 8
    assert callback.controller.meter.total_steps == 8


def test_a_checkpoint_without_a_state_begins_anew_with_a_warning(tmp_path, caplog):
    trainer(tmp_path, None, max_steps=4, **SAVES, **STEADY).train()
    callback = LRCallback(Watchful())
    _, said = resumed(tmp_path, tmp_path / "checkpoint-4", callback, caplog, max_steps=8, **STEADY)
    assert len(said) == 1
    assert "of step 4, has no state of a controller" in said[0]
    assert callback.controller.report()["steps"] == 4


def test_outside_of_a_trainer_the_log_s_loss_is_taken():
    """A loop of somebody else's that calls Trainer callbacks."""
    callback, model = LRCallback(Watchful(), interval=1), Net()
    optimizer = adamw(model)
    state = transformers.TrainerState(max_steps=4)
    callback.on_train_begin(None, state, None, model=model, optimizer=optimizer)
    for batch in Data(4).loader():
        loss = model(**batch)["loss"]
        loss.backward()
        callback.on_log(None, state, None, logs={"loss": 3.0})
        optimizer.step()
    callback.on_train_end(None, state, None)
    assert callback.policy.losses == pytest.approx([3.0] * 4)
    assert hooks_on(model, optimizer) == []


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"policy must be an l2o.Policy.*got 3; l2o.load_policy"):
        LRCallback(3)
