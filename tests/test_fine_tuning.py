"""How a fine-tune is computed, stopped and gone on with; alone and by two processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_datasets import Read, as_read
from tiny import TinyFamily
from tiny_images import image_task
from torch import nn

import l2o
from l2o.configs.schema import FineTuning
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.answers import Answers
from l2o.envs.fine_tuning.compute import Compute, part_of, parts
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.random_stream import RandomStream, draws
from l2o.envs.stacked import StackedFineTune
from l2o.envs.tasks import Examples
from l2o.guarding.guard import Guard

STEPS, STOP = 24, 11
CONTRASTIVE = {"contrastive": {"layers": ["conv2"], "queue": 32, "views": 0, "augment": None}}


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def with_dropout(task):
    def build_model():
        model = task.build_model()
        plain = model.forward_features
        drop = nn.Dropout(0.3)
        model.add_module("drop", drop)
        model.forward_features = lambda x: drop(plain(x))
        return model

    return replace(task, build_model=build_model)


def deterministic(task):
    task = as_read(task)
    task.source_train.deterministic = True
    return task


RESUMED = {
    "in memory": (lambda: TinyFamily().sample(0), {}),
    "read, with noise": (lambda: as_read(TinyFamily().sample(0), noise=0.3), {}),
    "read by a process": (lambda: as_read(TinyFamily().sample(0), noise=0.3, workers=1), {}),
    "read, answers kept": (lambda: deterministic(TinyFamily().sample(0)), {}),
    "dropout": (lambda: with_dropout(TinyFamily().sample(0)), {}),
    "adamw": (lambda: TinyFamily().sample(0), {"optimizer": {"name": "adamw"}}),
    "contrastive": (lambda: image_task(0), {"guidance": CONTRASTIVE}),
    "cached views": (
        lambda: image_task(0),
        {"guidance": {"contrastive": {**CONTRASTIVE["contrastive"], "views": 2}}},
    ),
    "bf16 in parts": (lambda: TinyFamily().sample(0), {"precision": "bf16", "accumulate": 3}),
    "fp16": (lambda: TinyFamily().sample(0), {"precision": "fp16"}),
}


@pytest.mark.parametrize("kind", RESUMED)
@pytest.mark.parametrize("policy", [None, "asg-base"])
def test_a_stopped_fine_tune_goes_on_to_the_same_bits(kind, policy, tmp_path):
    make, options = RESUMED[kind]

    def begin():
        loaded = None if policy is None else l2o.load_policy(policy)
        config = FineTuning(steps=STEPS, interval=5, **options)
        return FineTune(make(), config, policy=loaded, seed=3, guard=Guard())

    whole, stopped, resumed = begin(), begin(), begin()
    whole.advance(STOP)
    whole.advance(STEPS)
    stopped.advance(STOP)
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    torch.rand(5)  # whatever else draws meanwhile
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.step == STOP
    assert resumed.last_loss == stopped.last_loss
    resumed.advance(STEPS)
    assert resumed.done
    assert torch.equal(weights(whole), weights(resumed))
    assert whole.controller.multipliers == resumed.controller.multipliers
    assert not torch.equal(weights(whole), weights(stopped))


def test_a_state_of_a_longer_fine_tune_is_refused():
    long = FineTune(TinyFamily().sample(0), FineTuning(steps=9))
    long.advance(9)
    short = FineTune(TinyFamily().sample(0), FineTuning(steps=5))
    with pytest.raises(ValueError, match="step 9, but this fine-tune has 5 steps"):
        short.load_state_dict(long.state_dict())


def test_global_random_state_is_only_lent():
    run = FineTune(with_dropout(TinyFamily().sample(0)), FineTuning(steps=3))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run.advance(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_follows_from_the_seed_alone():
    def outcome(seed, global_seed):
        torch.manual_seed(global_seed)
        run = FineTune(with_dropout(TinyFamily().sample(0)), FineTuning(steps=4), seed=seed)
        run.advance(4)
        return weights(run)

    assert torch.equal(outcome(0, 1), outcome(0, 2))
    assert not torch.equal(outcome(0, 1), outcome(1, 1))


def test_what_draws_is_found():
    assert draws(nn.Sequential(nn.Linear(2, 2), nn.Dropout2d(0.1)))
    assert not draws(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    unneeded = RandomStream(0, torch.device("cpu"), needed=False)
    before = torch.get_rng_state()
    with unneeded.lent():
        torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


# How it is computed -------------------------------------------------------------------------------


def trained(task, **options):
    run = FineTune(task, FineTuning(steps=8, interval=4, **options), seed=1)
    run.advance(8)
    return run


@pytest.mark.parametrize("accumulate", [2, 3, 100])
def test_parts_of_a_batch_add_up_to_it(accumulate):
    guidance = {"proxy_kl": {"weight": 0.5}}
    whole = trained(image_task(0), guidance=guidance)
    cut = trained(image_task(0), guidance=guidance, accumulate=accumulate)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=1e-9, atol=1e-11)
    assert cut.last_loss == pytest.approx(whole.last_loss, rel=1e-6)
    assert cut.last_proxy_kl == pytest.approx(whole.last_proxy_kl, rel=1e-5)


def test_channels_last_changes_rounding_only():
    whole, last = trained(image_task(0)), trained(image_task(0), channels_last=True)
    torch.testing.assert_close(weights(last), weights(whole), rtol=1e-9, atol=1e-11)
    assert last.model.conv2.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_and_scored_in_full(precision):
    plain = trained(TinyFamily().sample(0))
    half = trained(TinyFamily().sample(0), precision=precision)
    assert weights(half).dtype == torch.float32
    assert not torch.equal(weights(half), weights(plain))
    torch.testing.assert_close(weights(half), weights(plain), rtol=0.1, atol=0.02)
    assert half.scores("target_test")["accuracy"] == pytest.approx(
        plain.scores("target_test")["accuracy"], abs=0.1
    )


@pytest.mark.parametrize("wrong", [{"precision": "int8"}, {"accumulate": 0}])
def test_impossible_computing_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Compute(**wrong)


def test_parts_are_even_and_whole():
    assert parts(7, 3) == [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert parts(2, 5) == [slice(0, 1), slice(1, 2)]
    cut = part_of({"a": torch.arange(4), "b": {"c": torch.arange(4)}}, slice(1, 3))
    assert cut["b"]["c"].tolist() == [1, 2]


def test_stacks_refuse_what_they_do_not_have():
    with pytest.raises(ValueError, match="stacked=false"):
        StackedFineTune(FineTuning(accumulate=2), runs=1, layers=4)
    env = FineTuneEnv(TinyFamily(), finetuning=FineTuning(accumulate=2, interval=5))
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


# The frozen network's answers, batch norm, unlabelled splits --------------------------------------


@pytest.mark.parametrize("saved", [True, False])
def test_answers_ride_in_checkpoints_as_far_as_they_are_small(saved, monkeypatch):
    """In another batch the last bit may be another: which, depends on the processor."""
    first, second, index = Answers(4), Answers(4), torch.tensor([2, 0])
    wanted = first.of(index, lambda: torch.rand(2, 3))
    if not saved:
        monkeypatch.setattr("l2o.envs.fine_tuning.answers.SAVED", 1)
    second.load_state_dict(first.state_dict())
    found = second.of(index.flip(0), lambda: torch.zeros(2, 3))
    assert torch.equal(found, wanted.flip(0) if saved else torch.zeros(2, 3))
    assert second.of(torch.tensor([1]), lambda: torch.ones(1, 3)).sum() == 3
    third = Answers(4)
    third.load_state_dict(Answers(4).state_dict())
    other = Answers(5)
    other.of(torch.tensor([0]), lambda: torch.zeros(1, 3))
    third.load_state_dict(other.state_dict())  # of other data
    assert torch.equal(third.of(index, lambda: torch.ones(2, 3)), torch.ones(2, 3))


def test_answers_are_kept_from_the_first_time_on():
    answers, asked = Answers(5), []

    def answer(index):
        asked.append(index.tolist())
        return index[:, None].float().expand(-1, 3)

    for order in ([0, 1], [1, 2], [0, 2], [1, 0]):
        index = torch.tensor(order)
        found = answers.of(index, lambda index=index: answer(index))
        assert found[:, 0].tolist() == order
    assert asked == [[0, 1], [1, 2]]


def test_kept_answers_are_those_of_the_network():
    plain, kept = (
        trained(as_read(TinyFamily().sample(0))),
        trained(deterministic(TinyFamily().sample(0))),
    )
    torch.testing.assert_close(weights(kept), weights(plain))


class Normed(nn.Module):
    """A network with batch norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward_features(self, x):
        return self.norm(x)

    def forward_head(self, x):
        return self.head(x)

    def get_classifier(self):
        return self.head


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_batch_norm_is_as_the_task_has_it(batch_norm):
    task = replace(
        TinyFamily().sample(0),
        build_model=Normed,
        proxy_head=nn.Linear(6, 3),
        teacher_logits=None,
        importance=None,
        batch_norm=batch_norm,
    )
    run = trained(task)
    moved = bool(run.model.norm.running_mean.abs().sum() > 0)
    assert moved == (batch_norm == "trained")
    assert run.model.norm.training == (batch_norm == "trained")


def test_what_is_unlabelled_has_no_scores():
    task = replace(TinyFamily().sample(0), unlabelled=frozenset({"target_test"}))
    run = FineTune(task, FineTuning(steps=2))
    assert all(value != value for value in run.scores("target_test").values())
    assert run.scores("source_validation")["accuracy"] > 0
    assert sum(len(batch.logits) for batch in run.outputs("target_test")) == 30


def test_proxy_answers_score_agreement_with_the_frozen_network():
    task = replace(TinyFamily().sample(0), proxy_answers=True)
    wrong = Examples(task.proxy_test.images, (task.proxy_test.labels + 1) % 3)
    run = FineTune(replace(task, proxy_test=wrong), FineTuning(steps=20, guidance={}), base_lr=0.5)
    assert run.proxy_scores()["accuracy"] == 1.0
    run.advance(20)
    with torch.no_grad():
        now = run.proxy_head(run.model.forward_features(wrong.images)).argmax(dim=1)
        frozen = task.build_model()
        then = task.proxy_head(frozen.forward_features(wrong.images)).argmax(dim=1)
    assert run.proxy_scores()["accuracy"] == pytest.approx(float((now == then).float().mean()))


# Several processes --------------------------------------------------------------------------------

WORKER = """
import sys
import torch
sys.path.insert(0, {tests!r})
from test_fine_tuning import shared_run
run, weights = shared_run()
found = (weights, run.last_loss, list(run.controller.multipliers.values()))
torch.save(found, sys.argv[1] + str(run.processes.rank))
"""


def shared_run(alone=False):
    from l2o.envs.fine_tuning.processes import OneProcess, find_processes

    processes = OneProcess() if alone else find_processes("cpu")
    config = FineTuning(steps=12, interval=4, guidance={"proxy_kl": {"weight": 0.5}, "l2_sp": {}})
    run = FineTune(
        image_task(0), config, policy=l2o.load_policy("asg-base"), seed=1, processes=processes
    )
    run.advance(12)
    return run, weights(run)


def test_two_processes_are_one(tmp_path):
    (tmp_path / "work.py").write_text(WORKER.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(tmp_path / "work.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command.append(str(tmp_path / "found"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"found{rank}") for rank in (0, 1))
    assert torch.equal(first[0], second[0])
    assert first[1:] == second[1:]
    run, alone = shared_run(alone=True)
    torch.testing.assert_close(first[0], alone, rtol=1e-6, atol=1e-8)
    assert first[1] == pytest.approx(run.last_loss, rel=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused():
    from l2o.envs.fine_tuning.processes import LaunchedProcesses

    three = object.__new__(LaunchedProcesses)
    three.rank, three.count = 1, 3
    assert three.share(torch.arange(6)).tolist() == [1, 4]
    with pytest.raises(ValueError, match="multiple of 3"):
        three.share(torch.arange(8))


def test_reading_goes_on_where_it_was():
    from l2o.envs.tasks import Loading
    from l2o.envs.tasks.loading import load_batches

    data = Read(TinyFamily().sample(0).source_train, noise=1.0)
    orders = [torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([0, 2])]
    device = torch.device("cpu")
    whole = list(load_batches(data, orders, Loading(), device, seed=4))
    rest = list(load_batches(data, orders[1:], Loading(), device, seed=4, first=2))
    for (one, _), (other, _) in zip(whole[1:], rest, strict=True):
        assert torch.equal(one, other)
