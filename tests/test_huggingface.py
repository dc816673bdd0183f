"""The callback for Hugging Face's Trainer, against the Trainer itself."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from loops import STEPS, Data, Net, Watchful, adamw, adamw_by_layer, equal, multipliers, plain_loop
from torch import nn
from trainers import trainer

import l2o
from l2o.integrations.huggingface import LRCallback

OPTIMIZERS = {
    "split by decay": (adamw, {"mode": "update_scale"}),
    "split by layer": (adamw_by_layer, {"mode": "groups"}),
}


@pytest.mark.parametrize("layout", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_equals_a_plain_loop(accumulate, layout, tmp_path):
    optimize, options = OPTIMIZERS[layout]
    callback, model = LRCallback(Watchful(), **options), Net()
    run = trainer(
        tmp_path,
        callback,
        model,
        Data(STEPS * accumulate),
        gradient_accumulation_steps=accumulate,
        optimizers=(optimize(model), None),
    )
    run.train()
    policy, controller, wanted = plain_loop(accumulate, optimize, **options)
    assert callback.policy.losses == policy.losses
    assert multipliers(callback.controller) == multipliers(controller)
    assert len(set(multipliers(controller))) == 5
    assert equal(run.model, wanted)
    assert callback.controller.meter.total_steps == STEPS


@pytest.mark.parametrize("layout", ["the Trainer's", "split by layer"])
def test_a_resumed_run_goes_on_bit_equal(layout, tmp_path):
    def begin(folder):
        callback, model = LRCallback(Watchful()), Net()
        optimizer = None if layout == "the Trainer's" else adamw_by_layer(model)
        options = {"save_strategy": "steps", "save_steps": 3, "optimizers": (optimizer, None)}
        return trainer(folder, callback, model, **options), callback

    whole, wanted = begin(tmp_path / "whole")
    whole.train()
    # A folder of another name: the state is in the checkpoint, wherever that lies.
    (tmp_path / "whole" / "checkpoint-3").rename(tmp_path / "elsewhere")
    again, callback = begin(tmp_path / "again")
    again.train(resume_from_checkpoint=str(tmp_path / "elsewhere"))
    assert callback.controller.report()["steps"] == STEPS
    assert multipliers(callback.controller) == multipliers(wanted.controller)[2:]
    assert callback.controller.get_last_lr() == wanted.controller.get_last_lr()
    assert equal(again.model, whole.model)


def test_checkpoints_go_to_and_from_runs_without_a_controller(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 4}
    trainer(tmp_path / "with", LRCallback(Watchful()), **options).train()
    trainer(tmp_path / "without", None, **options).train()
    plain = trainer(tmp_path / "a", None)
    plain.train(resume_from_checkpoint=str(tmp_path / "with" / "checkpoint-4"))
    assert plain.state.global_step == STEPS
    callback = LRCallback(Watchful())
    trainer(tmp_path / "b", callback).train(
        resume_from_checkpoint=str(tmp_path / "without" / "checkpoint-4")
    )
    assert callback.controller.report()["steps"] == 4


def test_learning_rates_are_logged(tmp_path):
    callback = LRCallback(Watchful(), log_to=tmp_path / "events")
    run = trainer(tmp_path, callback)
    run.train()
    logs = [entry for entry in run.state.log_history if "loss" in entry]
    assert len(logs) == 4
    for name, rate in callback.controller.get_last_lr().items():
        assert logs[-1][f"learning_rate/{name}"] == pytest.approx(rate, abs=1e-12)
        assert len({entry[f"learning_rate/{name}"] for entry in logs}) == 4
    assert list((tmp_path / "events").iterdir())


class WithoutLoss(Net):
    def forward(self, x, labels=None):
        return {"logits": super().forward(x)["logits"]}


def test_where_the_model_gives_no_loss_that_of_the_trainer_is_seen(tmp_path):
    def loss_of(outputs, labels, num_items_in_batch=None):
        return nn.functional.cross_entropy(outputs["logits"], labels)

    callback = LRCallback(Watchful(), interval=4)
    run = trainer(tmp_path, callback, WithoutLoss(), compute_loss_func=loss_of)
    run.train()
    logged = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert callback.policy.losses[0] == pytest.approx((logged[0] + logged[1]) / 2)
    assert callback.policy.losses[1] == pytest.approx((logged[2] + logged[3]) / 2)


def test_a_share_of_the_step_s_loss_is_summed(tmp_path):
    """Language models divide by the items of the whole step, so micro-batches add up."""
    config = transformers.GPT2Config(
        n_embd=8, n_layer=2, n_head=2, n_positions=8, vocab_size=11, bos_token_id=0, eos_token_id=1
    )
    torch.manual_seed(0)
    tokens = torch.randint(0, 11, (32, 6))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    callback = LRCallback(Watchful())
    run = trainer(
        tmp_path,
        callback,
        transformers.GPT2LMHeadModel(config),
        data,
        gradient_accumulation_steps=2,
        logging_steps=2,
    )
    run.train()
    logged = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert len(logged) == 2
    assert callback.policy.losses == pytest.approx(logged, rel=1e-4)
    assert [g.name for g in callback.controller.groups][-1] == "lm_head"


def test_the_validation_loss_is_the_evaluation_s(tmp_path):
    callback = LRCallback(Watchful())
    run = trainer(tmp_path, callback, eval_dataset=Data(2), eval_strategy="steps", eval_steps=2)
    run.train()
    evaluated = [entry["eval_loss"] for entry in run.state.log_history if "eval_loss" in entry]
    seen = [float(row[0, 3]) for row in callback.policy.seen]
    assert seen[:2] == [0.0, 0.0]
    assert seen[2:] == pytest.approx([math.log10(loss) / 2 for loss in evaluated[:3]], rel=1e-5)


def test_bert_is_fine_tuned_block_by_block(tmp_path):
    config = transformers.BertConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=11,
        num_labels=3,
    )
    torch.manual_seed(0)
    data = [
        {"input_ids": torch.randint(0, 11, (6,)), "labels": torch.tensor(i % 3)} for i in range(32)
    ]
    callback = LRCallback("asg-base", interval=2, guard=l2o.Guard(fallback="cosine"))
    run = trainer(tmp_path, callback, transformers.BertForSequenceClassification(config), data)
    run.train()
    assert [g.name for g in callback.controller.groups] == [
        "bert.embeddings",
        "bert.encoder.layer.0",
        "bert.encoder.layer.1",
        "bert.pooler.dense",
        "classifier",
    ]
    assert callback.controller.report()["interventions"] == {}
    assert [decision.step for decision in callback.history] == [0, 1, 2, 4, 6, 8]


def test_unknown_options_are_refused_before_training():
    with pytest.raises(TypeError, match=r"'lr' is no option of LRController; known: .*interval"):
        LRCallback(Watchful(), lr=0.1)
