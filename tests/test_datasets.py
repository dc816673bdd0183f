"""Tasks whose splits are map-style data sets: read by a loader, fine-tuned one by one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TinyFamily, TinyNetwork
from torch.utils.data import Dataset

from l2o.benchmarks import run_benchmark
from l2o.benchmarks.cells.cell import Cell
from l2o.benchmarks.cells.stackable import ALONE, stack_key, why_alone
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, PolicyChoice
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import SPLITS, FineTune
from l2o.envs.stacked import StackedFineTune, StackedFineTuneEnv, Start
from l2o.envs.tasks import Loading
from l2o.envs.tasks import base as tasks
from l2o.envs.tasks.loading import load_batches
from l2o.measures import joined

PLAIN = FineTuning(interval=5, guidance={})
GUIDED = FineTuning(interval=5, guidance={"proxy_kl": {"weight": 0.5}, "feature_l2": {}})


class Read(Dataset):
    """Examples as a data set that is read one by one; labels are plain numbers."""

    def __init__(self, examples, noise=0.0):
        self.examples = examples
        self.noise = noise

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        image, label = self.examples[index]
        return image + self.noise * torch.randn(image.shape), int(label)


def as_read(task, noise=0.0, **loading):
    """Return a task whose splits are read; what is trained on is augmented with noise."""
    read = {name: Read(getattr(task, name)) for name in tasks.SPLITS}
    read["source_train"] = Read(task.source_train, noise)
    return replace(task, **read, teacher_logits=None, loading=Loading(**loading))


class ReadFamily(TinyFamily):
    """The tiny family, read."""

    in_memory = False

    def sample(self, seed):
        return as_read(super().sample(seed))


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("config", [PLAIN, GUIDED], ids=["plain", "guided"])
def test_what_is_read_trains_as_what_is_in_memory(config):
    task = TinyFamily().sample(3)
    one, other = FineTune(task, config, seed=1), FineTune(as_read(task), config, seed=1)
    for run in (one, other):
        run.advance(run.steps)
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-5, atol=1e-6)
    assert one.last_loss == pytest.approx(other.last_loss, rel=1e-5)
    assert one.last_proxy_kl == pytest.approx(other.last_proxy_kl, rel=1e-4)
    for split in SPLITS:
        assert other.scores(split) == pytest.approx(one.scores(split), rel=1e-5)
    assert other.proxy_scores() == pytest.approx(one.proxy_scores(), rel=1e-5)
    if config is PLAIN:
        assert torch.equal(weights(one), weights(other))


def test_nothing_depends_on_the_loading_but_the_time():
    task = TinyFamily(steps=6).sample(0)
    runs = [
        FineTune(as_read(task, noise=0.5, **loading), GUIDED, seed=4)
        for loading in ({}, {"workers": 2}, {"scoring_batch": 7})
    ]
    for run in runs:
        run.advance(run.steps)
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert torch.equal(weights(runs[0]), weights(runs[2]))
    assert runs[1].scores("target_test") == runs[0].scores("target_test")
    assert runs[2].scores("target_test") == pytest.approx(runs[0].scores("target_test"), rel=1e-5)
    other = FineTune(as_read(task, noise=0.5), GUIDED, seed=5)
    other.advance(other.steps)
    assert not torch.equal(weights(runs[0]), weights(other))


def test_transforms_draw_anew_for_each_example_and_leave_the_global_state_alone():
    data = Read(TinyFamily().sample(0).source_train, noise=1.0)
    before = torch.get_rng_state()
    order = [torch.tensor([0, 0, 1]), torch.tensor([0])]
    cpu = torch.device("cpu")
    images = torch.cat([i for i, _ in load_batches(data, order, Loading(), cpu, seed=2)])
    again = torch.cat([i for i, _ in load_batches(data, order, Loading(), cpu, seed=2)])
    assert torch.equal(images, again)
    assert len({tuple(image.tolist()) for image in images}) == 4
    assert torch.equal(torch.get_rng_state(), before)


def test_outputs_are_those_of_all_batches():
    task = TinyFamily().sample(0)
    fields = ("logits", "labels", "features")
    one = joined(FineTune(task, PLAIN).outputs("target_test"), *fields)
    run = FineTune(as_read(task, scoring_batch=7), PLAIN)
    other = joined(run.outputs("target_test"), *fields)
    for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, theirs)


def test_outputs_come_batch_by_batch_and_the_network_goes_on_as_it_was():
    task = TinyFamily().sample(0)
    run = FineTune(as_read(replace(task, build_model=Dropping), scoring_batch=7), PLAIN)
    parts = run.outputs("target_test")
    first = next(parts)
    assert [len(each) for each in (first.logits, first.labels, first.features)] == [7, 7, 7]
    assert not first.logits.requires_grad
    assert torch.is_grad_enabled()
    assert run.model.dropout.training, "between two batches it may be trained on"
    parts.close()
    assert torch.equal(next(run.outputs("target_test")).logits, first.logits), "nothing is dropped"
    sizes = [len(part.labels) for part in run.outputs("target_test")]
    assert sizes[:-1] == [7] * (len(sizes) - 1)
    assert sum(sizes) == len(task.target_test)
    only = joined(run.outputs("target_test"), "features")
    assert only.logits is None
    with pytest.raises(ValueError, match="at least one batch"):
        joined([], "features")


def test_a_task_in_memory_needs_no_cached_predictions():
    task = TinyFamily().sample(2)
    bare = replace(task, teacher_logits=None)
    runs = [FineTune(each, GUIDED) for each in (task, bare)]
    for run in runs:
        run.advance(5)
        run.advance(5)
    assert runs[0].last_proxy_kl == pytest.approx(runs[1].last_proxy_kl, rel=1e-5)
    stack = StackedFineTune(GUIDED, 1, 4)
    stack.reset({0: Start(bare)})
    stack.advance()
    stack.advance()
    assert float(stack.last_proxy_kl[0]) == pytest.approx(runs[1].last_proxy_kl, rel=1e-3)


def test_contrastive_guidance_looks_at_what_is_read():
    from tiny_images import image_task

    options = {"layers": ["conv2"], "dim": 4, "queue": 16, "augment": "tiny_images:shake"}
    config = FineTuning(interval=5, guidance={"contrastive": options})
    run = FineTune(as_read(image_task(0, steps=6)), config)
    run.advance(6)
    assert not run.diverged
    assert run.guidance[0].state_dict()


# One by one -------------------------------------------------------------------------------------


def test_the_environment_runs_it():
    envs = [FineTuneEnv(family, PLAIN) for family in (TinyFamily(), ReadFamily())]
    for env in envs:
        env.action_space.seed(0)
    seen = [env.reset(seed=3)[0] for env in envs]
    for _ in range(4):
        told = [env.step(env.action_space.sample()) for env in envs]
        seen.append(told[0][0])
        assert told[0][1] == pytest.approx(told[1][1], abs=1e-5)
    assert told[0][2]
    assert told[1][2]


def test_a_stack_refuses_it_and_says_what_to_do():
    with pytest.raises(ValueError, match=r"'tiny' has data sets that are not.*stacked: false"):
        StackedFineTuneEnv(ReadFamily(), PLAIN, num_envs=2)
    stack = StackedFineTune(PLAIN, 1, 4)
    with pytest.raises(ValueError, match=r"not tensors in memory.*hold them as Examples"):
        stack.reset({0: Start(ReadFamily().sample(0))})


def cell(family):
    return Cell(
        task=Named(name=f"{family.__module__.rpartition('.')[2]}:{family.__name__}"),
        task_seed=0,
        seed=0,
        base_lr_factor=1.0,
        finetuning=PLAIN,
        choice=PolicyChoice(schedule="cosine"),
        evaluations=2,
    )


def test_a_benchmark_runs_its_cells_alone_and_says_why(tmp_path):
    assert stack_key(cell(ReadFamily)) == ALONE
    assert "not in memory" in why_alone(cell(ReadFamily))
    assert why_alone(cell(TinyFamily)) == ""
    records = {}
    for name in ("test_datasets:ReadFamily", "tiny:TinyFamily"):
        config = BenchmarkConfig.model_validate(
            {
                "task": {"name": name},
                "finetuning": {"interval": 5, "guidance": {}},
                "tasks": 1,
                "seeds": 1,
                "base_lr_factors": [1.0],
                "rows": [{"label": "a", "schedule": "cosine"}],
            }
        )
        out = tmp_path / name.partition(":")[2]
        run_benchmark(config, out, workers=1)
        records[name] = json.loads((out / "cells.jsonl").read_text())
    read, held = records.values()
    assert read["error"] is None
    for split, scores in held["scores"].items():
        assert read["scores"][split] == pytest.approx(scores, abs=1e-4)


# Bad data sets ----------------------------------------------------------------------------------


class Only(Dataset):
    """A data set of one thing."""

    def __init__(self, example, count=3):
        self.example = example
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.example


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Only((torch.zeros(6), 0), count=0), "has no examples"),
        (Only(torch.zeros(2, 6)), "must be a pair"),
        (Only((np.zeros(6), 0)), "is ndarray; it must be a float tensor"),
        (Only((torch.zeros(6, dtype=torch.uint8), 0)), r"torch\.uint8; it must be a float"),
        (Only((torch.zeros(6), "cat")), "label of Only is str"),
    ],
)
def test_data_sets_that_cannot_be_read_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        next(load_batches(data, [torch.tensor([0])], Loading(), torch.device("cpu"), 0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"workers": -1}, "0 reads in place"), ({"scoring_batch": 0}, "at least 1")],
)
def test_impossible_loading_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Loading(**fields)


class Dropping(TinyNetwork):
    """The tiny network with dropout in its backbone."""

    def __init__(self):
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward_features(self, x):
        return self.dropout(super().forward_features(x))


def test_dropout_is_for_training_alone():
    task = replace(TinyFamily().sample(0), build_model=Dropping)
    run = FineTune(task, PLAIN)
    run.advance(5)
    assert run.scores("target_test") == run.scores("target_test")
    first, second = (joined(run.outputs("target_test"), "logits").logits for _ in range(2))
    assert torch.equal(first, second)
    assert run.model.dropout.training
    stack = StackedFineTune(PLAIN, 1, 4)
    stack.reset({0: Start(task)})
    stack.advance()
    first, second = (stack.evaluate(["target_test"])["target_test"]["loss"] for _ in range(2))
    assert first == second
    images = task.target_test.images
    weights = stack.weights(0)
    model = Dropping().eval()
    model.load_state_dict(weights)
    loss = torch.nn.functional.cross_entropy(model(images), task.target_test.labels)
    assert first[0] == pytest.approx(float(loss.detach()), rel=1e-5)


def test_an_unknown_objective_is_refused_when_the_task_is_made():
    task = TinyFamily().sample(0)
    with pytest.raises(ValueError, match="Did you mean 'classification'"):
        replace(task, objective="clasification")
    with pytest.raises(ValueError, match="unknown split 'target'"):
        FineTune(task, PLAIN).scores("target")
