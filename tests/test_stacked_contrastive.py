"""Contrastive guidance of stacked fine-tunes equals that of single ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_stacked import LAYERS, advance, assert_equal, assert_scores_equal, in_double, pair
from tiny import TinyFamily
from tiny_images import image_task

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.data import room_for
from l2o.envs.stacked.memory import predict_memory
from l2o.envs.tasks.digits.family import DigitsFamily

TOLERANCE = 1e-9
SHAKEN = "tiny_images:shake"
LARGE = {"queue": 1000, "layers": ["conv1", "conv2", "fc"]}
OPTIONS: dict[str, dict[str, Any]] = {
    "attention": {},
    "average": {"pooling": "average"},
    "crops": {"layers": ["conv1", "conv2"], "crops": 3},
    "crops, average": {"layers": ["conv2"], "crops": 2, "pooling": "average"},
    "one layer, as it is": {"layers": ["conv1"], "rectify": False},
    "hidden layer, as it is": {"layers": ["fc"], "rectify": False},
    "three layers, queue never full": LARGE,
    "queue shorter than a batch": {"queue": 5},
    "no augmentation": {"augment": None},
    "one view": {"views": 1},
    "two views": {"views": 2},
    "MLPs": {"temperature": 0.5, "momentum": 0.5, "dim": 3, "seed": 4},
    "capped": {"cap": 1.0},
    "weight zero": {"weight": 0.0},
    "schedule": {"weight": {"schedule": "cosine", "value": 1.0}},
}


def contrastive(**options: Any) -> dict[str, Any]:
    given = {"layers": ["conv2", "fc"], "weight": 0.5, "queue": 20, "dim": 6, "views": 3}
    return {"contrastive": {**given, "rectify": True, "augment": SHAKEN, **options}}


def config(guidance: dict[str, Any], **rest: Any) -> FineTuning:
    return FineTuning.model_validate({"guidance": guidance, "interval": 4, **rest})


def assert_all_equal(runs: StackedFineTune, singles: list[FineTune]) -> None:
    """MLPs and queues, too."""
    assert_equal(runs, singles, TOLERANCE)
    for number, single in enumerate(singles):
        if single.diverged:
            continue
        trainer, at = runs._placement.where[number]
        mine: Any = next(term for term in trainer.chunk.guidance.terms if term.leaves)
        theirs: Any = next(term for term in single.guidance if list(term.parameters()))
        for stacked, parameter in zip(mine.leaves, theirs.parameters(), strict=True):
            assert_close(stacked[at], parameter)
        for queue, network in zip(mine.queues, theirs.networks, strict=True):
            network.settle()
            held = network.held
            assert int(queue.taken[at].clamp_max(len(network.queue))) == held
            assert_close(queue.keys[at, :held], network.queue[:held])


def assert_close(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def both_to_the_end(starts: list[Start], settings: FineTuning, **options: Any) -> None:
    """Runs differ in length and in task; windows that runs end in are compared, too."""
    runs, singles = pair(starts, settings, **options)
    multipliers = torch.linspace(0.5, 1.2, LAYERS).repeat(len(starts), 1)
    while not runs.done.all():
        advance(runs, singles, multipliers)
        assert_all_equal(runs, singles)
    assert_scores_equal(runs, singles, TOLERANCE)


def two_starts() -> list[Start]:
    """Of another number of examples and another length."""
    sizes = ((9, 40), (13, 33))
    return [Start(image_task(s, steps=s, examples=size), s, 0.03) for s, size in sizes]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_equals_single_runs(options: dict[str, Any]) -> None:
    both_to_the_end(two_starts(), config(contrastive(**options)))


@pytest.mark.parametrize("interval", [4, {"first": 2, "growth": 0.5}], ids=["fixed", "growing"])
def test_its_weight_may_be_an_action(interval: Any) -> None:
    """Windows that grow, too: of runs begun at different times they differ in length."""
    settings = config(contrastive(), interval=interval)
    starts = [Start(image_task(s, steps=13, examples=40), s, 0.03) for s in range(2)]
    runs, singles = pair(starts, settings, LAYERS + 1, guidance_actions=("contrastive",))
    torch.manual_seed(0)
    for turn in range(6):
        advance(runs, singles, torch.rand(2, LAYERS + 1), np.array([True, turn > 0]))
        assert_all_equal(runs, singles)
    assert runs.done.all()


@pytest.mark.parametrize("kind", ["compiled", "substituted", "vmapped"])
@pytest.mark.parametrize("rectify", [True, False])
def test_every_kind_of_stack(kind: str, rectify: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "substituted":
        monkeypatch.setattr("l2o.envs.stacked.choose.compilable", lambda model: False)
    settings = config(contrastive(rectify=rectify, **LARGE))
    runs, singles = pair(two_starts(), settings, substitute=kind != "vmapped")
    found = {trainer.chunk.stack.name for trainer in runs._placement.trainers}
    if found == {"substituted"} and kind == "compiled":
        pytest.skip("no compiler")
    assert found == {kind}
    assert not runs.reasons
    advance(runs, singles, torch.ones(2, LAYERS))
    assert_all_equal(runs, singles)


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "adam"}, {"name": "sgd_lr_momentum", "options": {"weight_decay": 0.1}}],
    ids=lambda o: o["name"],
)
def test_mlps_are_trained_by_the_inner_optimizer(optimizer: dict[str, Any]) -> None:
    both_to_the_end(two_starts(), config(contrastive(), optimizer=optimizer))


def test_with_all_other_terms() -> None:
    others = {"proxy_kl": {"weight": 0.2}, "l2_sp": {"weight": 0.5}, "feature_l2": {"weight": 0.3}}
    both_to_the_end(two_starts(), config({**others, **contrastive()}))


def test_maps_that_are_vectors() -> None:
    """Networks without convolutions, in several chunks."""
    tasks = [in_double(TinyFamily(steps=6).sample(seed)) for seed in range(3)]
    starts = [Start(task, seed, 0.03) for seed, task in enumerate(tasks)]
    both_to_the_end(starts, config(contrastive(layers=["first", "second"])), chunk=2)


def test_runs_that_hold_still_begin_anew_and_diverge() -> None:
    """One waits while the others go on, one begins anew in a used position, one diverges."""
    settings = config(contrastive())
    starts = [Start(image_task(seed, steps=16), seed, 0.03) for seed in range(3)]
    starts[2] = Start(starts[2].task, 2, 1e12)
    runs, singles = pair(starts, settings)
    ones = torch.ones(3, LAYERS)
    advance(runs, singles, ones)
    advance(runs, singles, ones, only=torch.tensor([True, False, True]).numpy())
    assert_all_equal(runs, singles)
    for run in (0, 2):
        task = image_task(5 + run, steps=10)
        runs.reset({run: Start(task, 7, 0.02)})
        singles[run] = FineTune(task, settings, base_lr=0.02, seed=7, signals=runs.spec)
    while not runs.done.all():
        advance(runs, singles, ones)
        assert_all_equal(runs, singles)


def test_each_run_may_have_its_own_weight() -> None:
    weights = [0.0, {"schedule": "linear", "value": 2.0}]
    task = image_task(3, steps=10)
    runs = StackedFineTune(config(contrastive()), 2, LAYERS)
    each = [Start(task, 4, 0.03, guidance_weights={"contrastive": w}) for w in weights]
    runs.reset(dict(enumerate(each)))
    singles = [
        FineTune(task, config(contrastive(weight=w)), base_lr=0.03, seed=4, signals=runs.spec)
        for w in weights
    ]
    while not runs.done.all():
        advance(runs, singles, torch.ones(2, LAYERS))
        assert_all_equal(runs, singles)


def test_runs_of_one_task_and_seed_share_their_views() -> None:
    tasks = [image_task(seed, steps=4) for seed in range(2)]
    runs = StackedFineTune(config(contrastive()), 4, LAYERS)
    pairs = [(0, 1), (0, 1), (0, 2), (1, 1)]
    runs.reset({n: Start(tasks[task], seed) for n, (task, seed) in enumerate(pairs)})
    data = runs._placement.trainers[0].chunk.data
    assert torch.equal(data.order[0], data.order[1])
    assert len({int(each.min()) // data.capacity for each in data.order}) == 3


def test_on_digits_with_rand_augment() -> None:
    """In single precision, ten steps with each other."""
    family = DigitsFamily(networks=2, pretrain_steps=20, steps=10, source_images=64)
    starts = [Start(family.sample(seed), seed, 0.01) for seed in range(3)]
    guidance = contrastive(layers=["conv4", "fc"], augment={"low": -1.0}, weight=0.1, dim=32)
    runs, singles = pair(starts, config(guidance, interval=5), layers=6)
    while not runs.done.all():
        advance(runs, singles, torch.ones(3, 6))
    for number, single in enumerate(singles):
        weights = runs.weights(number)
        for name, parameter in single.model.named_parameters():
            torch.testing.assert_close(weights[name], parameter.detach(), atol=1e-5, rtol=1e-4)


def test_half_precision_is_near() -> None:
    """Autocast must run; keys stay in the queue's own type."""
    family = DigitsFamily(networks=1, pretrain_steps=20, steps=5, source_images=64)
    guidance = contrastive(layers=["conv4", "fc"], augment={"low": -1.0}, weight=0.1)
    found = []
    for precision in ("float32", "bf16"):
        runs = StackedFineTune(config(guidance, interval=5), 1, 6, precision=precision)
        runs.reset({0: Start(family.sample(0), 0, 0.01)})
        runs.advance()
        found.append(float(runs.last_loss[0]))
    assert abs(found[0] - found[1]) < 0.02 * found[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["conv9"]}, "conv1, conv2, fc, head"),
        ({"layers": ["head"]}, "'head' is not run for the features of ConvNetwork"),
        ({"layers": ["conv1"], "crops": 7}, "cannot be cut into 7 x 7 crops"),
    ],
)
def test_layers_that_cannot_be(options: dict[str, Any], message: str) -> None:
    runs = StackedFineTune(config(contrastive(**options)), 1, LAYERS)
    with pytest.raises(ValueError, match=message):
        runs.reset({0: Start(image_task(0))})


def test_networks_of_several_widths() -> None:
    """Each has MLPs of its own widths; all pairs of a width are in one chunk."""
    starts = [Start(image_task(n, channels=4 + n % 2, steps=7), n, 0.03) for n in range(4)]
    both_to_the_end(starts, config(contrastive()))


def test_new_views_in_each_step_have_no_stacked_form() -> None:
    with pytest.raises(ValueError, match="views: 0"):
        StackedFineTune(config(contrastive(views=0)), 1, LAYERS)


def test_memory_counts_views_mlps_and_queues() -> None:
    task = image_task(0, examples=400)
    plain, one, two, longer = (
        predict_memory(Start(task), StackedFineTune(config(g), 1, LAYERS), [])
        for g in (
            {},
            contrastive(views=1),
            contrastive(views=2),
            contrastive(views=1, queue=1020),
        )
    )
    image = (3 * 4 * 4 + 2 * 3 + 5 * 4 * 4 + 8) * 8 + 8  # pixels, predictions, maps; label
    assert two.each - one.each == pytest.approx(room_for(400) * image, abs=2)
    # Two layers; as it is, and as it was before a window.
    assert longer.each - one.each == 2 * 2 * 1000 * 6 * 8
    assert longer.working > one.working > plain.working
    mlps = 5 * 5 + 5 + 5 * 6 + 6 + 8 * 8 + 8 + 8 * 6 + 6
    assert one.each - plain.each > 400 * (5 * 4 * 4 + 8) * 8 + 9 * mlps * 8
