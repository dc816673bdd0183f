"""Guidance inside FineTune, against loops written out by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_stacked import in_double
from tiny import TinyFamily
from torch.nn import functional

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.tasks.digits.family import DigitsFamily
from l2o.guidance import Contrastive, LayerMaps

STEPS = 7
ALL: dict[str, dict[str, Any]] = {
    "proxy_kl": {"weight": 0.3},
    "l2_sp": {"weight": 0.2},
    "si": {"weight": 0.5},
    "feature_l2": {"weight": {"schedule": "linear", "value": 0.1}},
    "contrastive": {"layers": ["first", "second"], "queue": 20, "augment": None, "views": 1},
}


def tiny() -> Any:
    task = in_double(TinyFamily(steps=STEPS).sample(3))
    importance = {k: v.double() for k, v in task.importance().items()}
    with torch.no_grad():
        features = task.build_model().forward_features(task.source_train.images)
        logits = task.proxy_head(features)
    return replace(task, importance=lambda: importance, teacher_logits=logits)


def config(guidance: dict[str, Any], **rest: Any) -> FineTuning:
    return FineTuning.model_validate({"guidance": guidance, "interval": 3, **rest})


def plain_loop(task: Any, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """SGD with every term spelled out; returns the weights."""
    model = fresh_model(task, seed=5)
    frozen = copy.deepcopy(model)
    start = {k: p.detach().clone() for k, p in model.named_parameters() if "head" not in k}
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    contrastive = Contrastive(["first", "second"], queue=20)
    caught, others = (LayerMaps(m, ["first", "second"]) for m in (model, frozen))
    frozen(task.source_train.images[:2])
    contrastive.prepare(others.maps)
    mlps = torch.optim.SGD(list(contrastive.parameters()), 0.05, momentum=0.9, weight_decay=5e-4)
    order = batches(len(task.source_train), task.batch_size, seed=5)
    importance = task.importance()
    for step in range(STEPS):
        index = next(order)
        x, y = task.source_train.images[index], task.source_train.labels[index]
        features = model.forward_features(x)
        loss = functional.cross_entropy(model.head(features), y)
        with torch.no_grad():
            kept = frozen.forward_features(x)
            p = task.proxy_head(kept).softmax(1)
        if "proxy_kl" in names:
            q = task.proxy_head(features).softmax(1)
            loss = loss + 0.3 * (p * (p.log() - q.log())).sum(1).mean()
        backbone = {k: v for k, v in model.named_parameters() if "head" not in k}
        for k, v in backbone.items():
            squares = (v - start[k]) ** 2
            if "l2_sp" in names:
                loss = loss + 0.2 / 2 * squares.sum()
            if "si" in names:
                loss = loss + 0.5 * (importance[k] * squares).sum()
        if "feature_l2" in names:
            distance = ((features - kept) ** 2).sum(1).mean()
            loss = loss + 0.1 * (1 - step / STEPS) * distance
        if "contrastive" in names:
            loss = loss + 0.1 * contrastive.divergence(caught.maps, others.maps)
        for each in (optimizer, mlps):
            each.zero_grad()
        loss.backward()
        for each in (optimizer, mlps):
            each.step()
    return {k: p.detach() for k, p in model.named_parameters()}


@pytest.mark.parametrize("names", [*((name,) for name in ALL), tuple(ALL)], ids="+".join)
@pytest.mark.parametrize("cache", [True, False])
def test_equals_a_loop_written_out(names: tuple[str, ...], cache: bool) -> None:
    task = tiny()
    guidance = {name: options for name, options in ALL.items() if name in names}
    run = FineTune(task, config(guidance), seed=5, cache_teacher=cache)
    run.advance(STEPS)
    wanted = plain_loop(task, names)
    for name, parameter in run.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), wanted[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ALL)
def test_it_changes_the_backbone(name: str) -> None:
    task = tiny()
    plain, guided = (FineTune(task, config(g), seed=5) for g in ({}, {name: ALL[name]}))
    for run in (plain, guided):
        run.advance(STEPS)
    # Not the first step's doing, at which the student is the teacher.
    assert not torch.equal(plain.model.second.weight, guided.model.second.weight)


def digits(**options: Any) -> Any:
    return DigitsFamily(networks=1, pretrain_steps=20, steps=8, **options).sample(0)


CONTRASTIVE = {"layers": ["conv3", "fc"], "queue": 64, "rectify": True, "augment": {"low": -1.0}}


@pytest.mark.parametrize("views", [0, 1, 3])
def test_views(views: int) -> None:
    task = digits()
    settings = config({"contrastive": {**CONTRASTIVE, "views": views}})
    state = torch.get_rng_state()
    runs = [FineTune(task, settings, seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.advance(1)
        # The teacher has seen the view that the student has: nothing is forgotten yet.
        assert abs(run.last_proxy_kl) < 1e-6
        run.advance(7)
        assert run.last_proxy_kl > 1e-6
    assert torch.equal(torch.get_rng_state(), state)
    one, same, other = (run.model.conv3.weight for run in runs)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_views_of_an_image_differ_and_stay_its_own() -> None:
    task = digits()
    run = FineTune(task, config({"contrastive": {**CONTRASTIVE, "views": 3}}), seed=1)
    index = torch.arange(40)
    originals = task.source_train.images[index]
    near = 0
    for _ in range(3):
        images, teacher = run.teacher.draw(index)
        assert set(teacher) == {"logits", "maps"}
        with LayerMaps(run.model, ["conv3"]) as caught, torch.no_grad():
            features = run.model.forward_features(images)
            own = caught.maps["conv3"]
            torch.testing.assert_close(run.proxy_head(features), teacher["logits"])
        apart = (own - teacher["maps"]["conv3"]).flatten(1).norm(dim=1)
        assert (apart > 1e-3).float().mean() > 0.5  # keys come from another view
        distances = torch.cdist(images.flatten(1), originals.flatten(1))
        near += int((distances.argmin(1) == index).sum())
    assert near > 60  # of 120; an image is nearest to its own view, unless that is a strong one


def test_mlps_learn_at_the_rate_of_the_head() -> None:
    task = digits()
    run = FineTune(task, config({"contrastive": CONTRASTIVE}), seed=1, base_lr=0.02)
    before = [p.detach().clone() for p in run.guidance[0].parameters()]
    multipliers = torch.ones(len(run.controller.groups))
    multipliers[-1] = 0.0
    run.controller.set_multipliers(multipliers)
    run.advance(4)
    for old, new in zip(before, run.guidance[0].parameters()):
        assert torch.equal(old, new)
    multipliers[-1] = 0.5
    run.controller.set_multipliers(multipliers)
    run.advance(4)
    assert run.guidance_optimizer.param_groups[0]["lr"] == 0.01
    changed = zip(before, run.guidance[0].parameters())
    assert not all(torch.equal(old, new) for old, new in changed)


def test_what_the_task_cannot_give() -> None:
    task = replace(tiny(), importance=None)
    with pytest.raises(ValueError, match="ImportanceTracker"):
        FineTune(task, config({"si": {}}))
    with pytest.raises(ValueError, match="first, head, second"):
        FineTune(tiny(), config({"contrastive": {"layers": ["conv9"], "augment": None}}))
    with pytest.raises(ValueError, match=r"N, C, H, W"):
        FineTune(tiny(), config({"contrastive": {"layers": ["first"]}}))


def test_importance_of_digits_is_that_of_its_pretraining() -> None:
    from l2o.envs.tasks.proxy.pretrain import gather_importance, pretrain

    family = DigitsFamily(networks=1, pretrain_steps=20)
    recipe = family.recipe(0)
    task = family.sample(0)
    found = task.importance()
    assert set(found) == {
        k for k, _ in task.build_model().named_parameters() if not k.startswith("head")
    }
    assert all((omega >= 0).all() for omega in found.values())
    assert any((omega > 0).any() for omega in found.values())
    again = gather_importance(recipe)
    for name, omega in found.items():
        torch.testing.assert_close(omega, again[name])
    watched = pretrain(recipe, watch=lambda model, optimizer: None)
    for name, weight in pretrain(recipe).items():
        assert torch.equal(weight, watched[name])
