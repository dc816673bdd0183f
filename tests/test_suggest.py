"""`l2o.suggest` and `l2o suggest`: what is picked, the evidence, and that all is left as it was."""

import copy
import doctest
import json
import random
from itertools import chain, islice

import numpy as np
import pytest
import torch
from commands import run, succeed
from sklearn.linear_model import Ridge
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import l2o
from l2o.configs.load import load_config
from l2o.control.suggesting import (
    answers,
    candidates,
    choosing,
    pretraining,
    snapshot,
    suggest,
    trials,
)
from l2o.control.suggesting.candidates import CANDIDATES, as_candidates
from l2o.control.suggesting.choosing import Tried, choose, rank
from l2o.control.suggesting.pretraining import PENALTY, PretrainingCheck
from l2o.control.suggesting.warnings import warnings_of
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import read_json

TWO = ("cosine", "trust ratio 1 %")
MODULES = (answers, candidates, choosing, pretraining, snapshot, suggest, trials)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_examples_hold(module):
    assert doctest.testmod(module, extraglobs={"torch": torch, "nn": nn}).failed == 0


def network():
    torch.manual_seed(0)
    layers = (nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    return nn.Sequential(*layers)


def data(seed, count=96):
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=drawn)
    return torch.eye(3, 6)[labels] * 2 + torch.randn(count, 6, generator=drawn), labels


def batches(seed=1, **options):
    return DataLoader(TensorDataset(*data(seed)), batch_size=16, **options)


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def suggested(model=None, optimizer=None, loader=None, of=loss, **options):
    model = network() if model is None else model
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"validation": batches(2), "steps": 12, "candidates": TWO} | options
    return l2o.suggest(model, optimizer, batches() if loader is None else loader, of, **options)


def everything(model, optimizer, loader):
    """All that a training changes, as plain data."""
    return copy.deepcopy(
        {
            "model": model.state_dict(),
            "grads": [p.grad for p in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "optimizer": optimizer.state_dict(),
            "random": (torch.get_rng_state(), random.getstate(), loader.generator.get_state()),
            "numpy": np.random.get_state()[1],  # noqa: NPY002
        }
    )


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool(np.all(one == other))


def begun():
    """A training that goes on: state in the optimizer, gradients, a layer in evaluation mode."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-3))
    loader = batches(shuffle=True, generator=torch.Generator().manual_seed(4))
    loss(model, next(iter(loader))).backward()
    optimizer.step()
    model[1].eval()
    return model, optimizer, loader


@pytest.mark.parametrize("failing", [False, True])
def test_all_is_left_as_it_was(failing):
    model, optimizer, loader = begun()
    weights, moments = list(model.parameters()), optimizer.state[model[0].weight]["exp_avg"]
    before, calls = everything(model, optimizer, loader), []

    def measured(model, batch):
        random.random()
        np.random.rand()  # noqa: NPY002
        calls.append(batch)
        if failing and len(calls) == 30:
            raise OSError("a disk that is gone")
        return loss(model, batch)

    if failing:
        with pytest.raises(OSError, match="gone"):
            suggested(model, optimizer, loader, measured)
    else:
        suggested(model, optimizer, loader, measured)
    assert same(before, everything(model, optimizer, loader))
    assert all(one is other for one, other in zip(weights, model.parameters(), strict=True))
    assert torch.equal(moments, optimizer.state[model[0].weight]["exp_avg"])
    l2o.LRController("trust-ratio", optimizer, model)


def test_a_run_is_the_training_that_it_stands_for():
    found = suggested(steps=8, candidates=("cosine", "cosine, backbone × 0.1"))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = model[0].weight.detach().clone(), model[0].bias.detach().clone()
    first += (model[1].weight.detach().clone(), model[1].bias.detach().clone())
    torch.manual_seed(0)
    policy = l2o.SchedulePolicy("cosine", "small_backbone")
    l2o.LRController(policy, optimizer, model, total_steps=8)
    # A loader draws a number whenever it begins, so it has to begin when it is due.
    for batch in islice(chain(batches(), batches()), 8):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
    (row,) = [r.tried for r in found.ranked if r.tried.name == "cosine, backbone × 0.1"]
    model.eval()
    images, labels = data(2)
    assert row.score == pytest.approx(float((model(images).argmax(1) == labels).double().mean()))
    now = model[0].weight, model[0].bias, model[1].weight, model[1].bias
    away = sum(float((a - b).detach().square().sum()) for a, b in zip(now, first, strict=True))
    whole = sum(float(each.square().sum()) for each in first)
    assert row.moved == pytest.approx((away / whole) ** 0.5, rel=1e-5)


def tried(name, score, moved, parts=4, **more):
    return Tried(name, np.full(parts, score), moved, 0.0, 1.0, **more)


def test_the_gentlest_of_those_that_do_well_is_taken():
    rows = [tried("far", 0.80, 0.3), tried("near", 0.74, 0.1), tried("still", 0.72, 0.0)]
    # 10 % of what was gained from 0.2 on is 6 points, 2 % is 1.2.
    assert choose(rows, 0.2).name == "near"
    assert choose(rows, 0.2, little=True).name == "far"
    assert choose([*rows, tried("lost", 0.99, 0.0, diverged=True)], 0.2).name == "near"
    # Nothing was gained, so nothing is given up.
    assert choose(rows, 0.9).name == "far"
    with pytest.raises(RuntimeError, match="every candidate's run diverged"):
        choose([tried("lost", 0.5, 0.0, diverged=True)], 0.1)


def test_intervals_are_those_of_paired_differences():
    one = Tried("one", np.array([1.0, 1.0, 0.0, 1.0]), 0.1, 0.0, 1.0)
    two = Tried("two", np.array([1.0, 0.0, 0.0, 0.0]), 0.2, 0.0, 1.0)
    first, second = rank([two, one], one)
    assert (first.tried, first.behind, second.behind) == (one, 0.0, 0.5)
    half = 1.96 * np.std([0, 1, 0, 1], ddof=1) / 2
    assert (second.low, second.high) == pytest.approx((0.5 - half, 0.5 + half))
    lone, other = tried("a", 0.1, 0.0, 1), tried("b", 0.2, 0.0, 1)
    assert np.isnan(rank([lone, other], other)[1].low)


def test_the_probe_is_a_ridge_regression():
    drawn = np.random.default_rng(0)
    fitted, scored = drawn.normal(size=(60, 5)), drawn.normal(size=(40, 5))
    labels, wanted = drawn.integers(0, 3, 60), drawn.integers(0, 3, 40)
    tensors = [torch.from_numpy(each) for each in (fitted, labels, scored, wanted)]
    hits = pretraining._hits((tensors[0], tensors[1]), (tensors[2], tensors[3]))
    scaled = [(each - fitted.mean(0)) / fitted.std(0) for each in (fitted, scored)]
    ridge = Ridge(alpha=PENALTY * 5).fit(scaled[0], np.eye(3)[labels])
    np.testing.assert_array_equal(hits, ridge.predict(scaled[1]).argmax(1) == wanted)


def test_pretraining_that_knows_the_classes_is_told_from_one_that_does_not():
    # The classes are a parity of signs, which features of random weights hardly show.
    drawn = torch.Generator().manual_seed(0)
    images = torch.randn(768, 12, generator=drawn)
    labels = (images[:, :3].sign().prod(1) > 0).long()
    train = [(images[:512], labels[:512])]
    held = [(images[512:], labels[512:])]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
    model.append(nn.Linear(48, 2))
    options = {"validation": held, "steps": 2}
    fresh = suggested(model, loader=train, **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model, train[0]).backward()
        optimizer.step()
    model[-1].reset_parameters()
    knowing = suggested(model, loader=train, **options)
    assert fresh.pretraining.little
    assert "little to give" in fresh.warnings[0]
    assert not knowing.pretraining.little
    assert knowing.pretraining.images == 256
    assert not any("little to give" in each for each in knowing.warnings)


def test_outputs_that_are_no_classes_are_scored_by_their_loss_or_a_metric():
    def squares(model, batch):
        return (model(batch[0])[:, 0] - batch[1].float()).square().mean()

    images, labels = data(1)
    parts = list(zip(images.split(16), labels.double().split(16), strict=True))
    options = {"loader": parts, "of": squares, "validation": parts, "labels": lambda _: None}
    by_loss = suggested(**options)
    assert (by_loss.scored_by, by_loss.percent, by_loss.pretraining) == ("loss", False, None)
    assert "−loss" in str(by_loss)
    by_metric = suggested(metric=lambda model, batch: -squares(model, batch), **options)
    assert [row.tried.score for row in by_metric.ranked] == [
        row.tried.score for row in by_loss.ranked
    ]


class Answer(dict):
    """What networks of transformers return."""

    @property
    def logits(self):
        return self["logits"]


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.within = network()

    def forward(self, pixels, labels):
        logits = self.within(pixels)
        return Answer(logits=logits, loss=nn.functional.cross_entropy(logits, labels))


def test_batches_and_outputs_with_names():
    def of(model, batch):
        return model(**batch)["loss"]

    named = [{"pixels": images, "labels": labels} for images, labels in batches()]
    found = suggested(Named(), loader=named, of=of, validation=named)
    assert found.scored_by == "accuracy"
    assert found.pretraining is not None


def test_what_is_told():
    found = suggested(steps=10, total_steps=1000, candidates=None)
    assert next(row.tried.name for row in found.ranked) == found.name
    assert {row.tried.name for row in found.ranked} == set(CANDIDATES)
    text = str(found)
    assert text.startswith(f"suggested: {found.name}\n")
    assert all(name in text for name in CANDIDATES)
    assert "runs of 10 steps stand for one of 1000" in text
    plain = found.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["suggested"] == found.name
    assert isinstance(found.policy(), l2o.Policy)


def test_a_candidate_may_be_somebodys_own():
    own = l2o.SchedulePolicy("linear")
    found = suggested(candidates=[own, "trust-ratio"])
    assert {row.tried.name for row in found.ranked} == {"SchedulePolicy", "trust-ratio"}
    assert found.policy() is own or found.name == "trust-ratio"


def test_warnings_name_what_they_are_about():
    two = [CANDIDATES["trust ratio 0.1 %"], CANDIDATES["trust ratio 1 %"]]
    best = tried("trust ratio 1 %", 0.5, 0.2, 200)
    ranked = rank([best, tried("trust ratio 0.1 %", 0.3, 0.1, 200)], best)
    assert list(warnings_of(ranked, two, 0.1, PretrainingCheck(0.9, 0.2, 0.01, 200), 50, 500)) == [
        "the largest size tried is the one suggested; larger ones may be better still"
    ]
    (worse,) = warnings_of(ranked, two[:1], 0.6, None, 50, None)
    assert "no better than it began (0.5, 0.6)" in worse


ATTACHED = "has a controller already"
WRONG = {
    "one pass": ({"loader": iter([1])}, ValueError, "list_iterator.*gone after one pass"),
    "no batches": ({"loader": 3}, TypeError, "must be a DataLoader or a list of batches, got 3"),
    "empty": ({"loader": []}, ValueError, "batches is empty"),
    "nothing held": ({"validation": []}, ValueError, "validation is empty"),
    "steps": ({"steps": 1}, ValueError, "steps must be at least 2, got 1"),
    "one": ({"candidates": ["cosine"]}, ValueError, "at least two to choose from"),
    "twice": ({"candidates": ["cosine", "cosine"]}, ValueError, "got twice: \\['cosine'\\]"),
    "text": ({"candidates": "cosine"}, TypeError, "a sequence of names or policies, got 'cosine'"),
    "unknown": ({"candidates": ["cosin", "cosine"]}, ValueError, "'cosin'.*cosine"),
    "number": ({"candidates": [1, "cosine"]}, TypeError, "must be a name, an l2o.Policy"),
    "optimizer": ({"optimizer": "adam"}, TypeError, "no torch optimizer"),
    "diverges": ({"of": lambda m, b: loss(m, b) * torch.nan}, RuntimeError, "every candidate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    options, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        suggested(**options)


def test_an_optimizer_under_a_controller_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    l2o.LRController("trust-ratio", optimizer, model)
    with pytest.raises(ValueError, match=ATTACHED):
        suggested(model, optimizer)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_is_a_choice_of_a_config(name):
    from l2o.configs.choice import PolicyChoice
    from l2o.envs.policy_choice import build_policy

    (candidate,) = [each for each in as_candidates(None) if each.name == name]
    by_config = build_policy(PolicyChoice(**candidate.choice))
    assert type(by_config) is type(candidate.policy())


TINY = "task={name: 'tiny:TinyFamily'}"


def test_the_command_leaves_evidence_and_a_config(tmp_path):
    out = tmp_path / "out"
    told = succeed("suggest", "digits", TINY, "seed=3", "--steps", "10", "--out", out)
    evidence = read_json(out / "suggestion.json", "")
    assert f"suggested: {evidence['suggested']}" in told
    assert len(evidence["candidates"]) == len(CANDIDATES)
    assert evidence["scored_by"] == "accuracy"
    own = load_config("finetune", str(out / "config.yaml"))
    taken = load_config("finetune", str(out / "finetune.yaml"))
    given = {key: value for key, value in taken.choice.model_dump().items() if value}
    assert evidence["choice"].items() <= given.items()
    assert taken.model_copy(update={"choice": own.choice}) == own
    text = (out / "suggestion.json").read_text().replace("accuracy", "accuracx")
    (out / "suggestion.json").write_text(text)
    with pytest.raises(DamagedFileError):
        read_json(out / "suggestion.json", "")
    again = run("suggest", "digits", TINY, "--out", out)
    assert again.exit_code == 2
    assert "nothing in it is overwritten" in again.output


def test_the_command_tries_the_config_s_own_choice_and_those_named(tmp_path):
    words = ["choice.schedule=linear", "--steps", "6", "--candidate", "trust-ratio"]
    words += ["--candidate", "cosine", "--out", tmp_path / "out"]
    told = succeed("suggest", "digits", TINY, *words)
    assert "as the config has it" in told
    names = [each["name"] for each in read_json(tmp_path / "out/suggestion.json", "")["candidates"]]
    assert sorted(names) == ["as the config has it", "cosine", "trust-ratio"]
    wrong = run("suggest", "digits", TINY, "--candidate", "cosin", "--candidate", "cosine")
    assert wrong.exit_code == 2
    assert "'cosin'" in wrong.output
