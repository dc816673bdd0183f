"""The composed family: purity, splits that share nothing, kinds that can be told, stacks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_stacked import advance, assert_equal, assert_scores_equal, in_double, pair

from l2o.configs.schema import FineTuning
from l2o.envs.stacked import Start
from l2o.envs.stacked.kernels import load_kernels
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.base import SPLITS as PARTS
from l2o.envs.tasks.composed import AXES, ComposedFamily, facts
from l2o.envs.tasks.composed.gaps import GAPS
from l2o.envs.tasks.composed.kinds import KINDS
from l2o.envs.tasks.composed.pretraining import PRETRAINING
from l2o.envs.tasks.composed.setting import draw_labels, mislabel
from l2o.envs.tasks.composed.splits import MEMBERS
from l2o.envs.tasks.composed.world import World
from l2o.envs.tasks.proxy import pretrain
from l2o.envs.tasks.proxy.networks import NETWORKS, Shape
from l2o.layers.groups import group_layers

pytest.importorskip("skimage")

CHEAP = {"pretrain_steps": 4, "source_images": 128, "target_test_images": 48, "width": 4}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    load_kernels()  # before there is an empty cache, where they would be compiled anew
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("L2O_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def small(**options):
    return ComposedFamily(**{"networks": 3, **CHEAP, **options})


def test_is_in_the_table():
    assert TASKS["composed"] is ComposedFamily
    assert ComposedFamily().split == "train"


def test_same_seed_gives_bit_equal_task_and_another_another():
    first, second, other = small().sample(5), small().sample(5), small().sample(6)
    for part in PARTS:
        mine, theirs = getattr(first, part), getattr(second, part)
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        elsewhere = getattr(other, part).images
        assert mine.images.shape != elsewhere.shape or not torch.equal(mine.images, elsewhere)
    assert torch.equal(first.teacher_logits, second.teacher_logits)
    assert dict(first.description) == dict(second.description)
    weights = [task.build_model().state_dict() for task in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_version_2_draws_for_a_seed_stays():
    task = ComposedFamily(networks=256, pretrain_steps=2).sample(7)
    told = facts(task)
    assert task.description["version"] == 2
    assert [told[axis] for axis in ("kind", "pretraining", "architecture", "classes")] == DRAWN
    assert told["source_images"] == len(task.source_train) == 555
    sums = [float(part.images.double().sum()) for part in (task.source_train, task.target_test)]
    assert sums == pytest.approx([-2307.31, 9841.96], rel=1e-3)


DRAWN = ["patterns", "weak", "flat", 3]


def test_facts_tell_every_axis():
    told = facts(small().sample(0))
    assert tuple(told) == AXES
    assert told["split"] == "train"


def test_pretrained_once(monkeypatch):
    family = small(networks=1, first_network=5)
    first = family.sample(0)
    monkeypatch.setattr(pretrain, "pretrain", lambda *_: pytest.fail("pretrained anew"))
    again = small(networks=1, first_network=5).sample(0)
    weights = [task.build_model().state_dict() for task in (first, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_heldout_shares_no_member_and_no_real_image_with_the_others():
    train, validation, heldout = (MEMBERS[split] for split in ("train", "validation", "heldout"))
    for mine, theirs in ((train, heldout), (validation, heldout)):
        assert not set(mine.kinds) & set(theirs.kinds)
        assert not set(mine.pretraining) & set(theirs.pretraining)
        assert not set(mine.architectures) & set(theirs.architectures)
        assert mine.data != theirs.data
    every = [set(each.kinds) for each in MEMBERS.values()]
    assert set.union(*every) == set(KINDS)
    pools = [ComposedFamily(split=split, networks=64) for split in MEMBERS]
    for family in pools:
        members = MEMBERS[family.split]
        for recipe in map(family.recipe, range(64)):
            assert recipe.target.kind in members.kinds
            assert recipe.origin.kind in members.kinds
            assert recipe.pretraining in members.pretraining
            assert recipe.architecture in members.architectures
            assert recipe.target.data == recipe.origin.data == members.data
    seeds = [{family.recipe(n).target.seed for n in range(64)} for family in pools]
    assert not seeds[0] & seeds[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "icons"}, "kind='icons' is held out from the split 'train'"),
        ({"split": "validation", "pretraining": "colours"}, "is held out from the split"),
        ({"architecture": ("conv", "vit")}, "architecture='vit' is held out"),
        ({"kind": "icon"}, "icons"),
        ({"split": "test"}, "split"),
        ({"classes": 1}, "classes=1 is not a list of distinct numbers"),
        ({"imbalance": 0.5}, "imbalance=0.5 is not a number"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match="(?i)" + message.replace("(", r"\(")):
        ComposedFamily(**options)


def test_heldout_may_be_new_on_one_axis_alone():
    family = ComposedFamily(split="heldout", pretraining="same", architecture="conv", networks=4)
    assert {family.recipe(n).pretraining for n in range(4)} == {"same"}
    assert {family.recipe(n).target.kind for n in range(4)} <= {"icons", "photographs"}


def probe(train, test):
    """Return the accuracy of a linear probe on the sizes of what pixels differ by."""

    def features(examples):
        grey = examples.images.mean(1)
        edges = [grey.diff(dim=1).abs().flatten(1), grey.diff(dim=2).abs().flatten(1)]
        return torch.cat([examples.images.flatten(1), *edges, torch.ones(len(grey), 1)], 1)

    x, y = features(train), torch.nn.functional.one_hot(train.labels).float()
    weights = torch.linalg.solve(x.T @ x + 20.0 * torch.eye(x.shape[1]), x.T @ y)
    return float(((features(test) @ weights).argmax(1) == test.labels).float().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_classes_can_be_told_and_the_gap_costs(kind):
    own, across = [], []
    for seed in (5, 7):
        target = World(kind, "train", "target", (0, 1, 2, 3), seed)
        source = replace(target, side="source", seed=seed + 1)
        drawn = np.random.default_rng(0)
        train = target.draw_balanced(600, "proxy", drawn)
        test = target.draw_balanced(400, "test", drawn)
        own.append(probe(train, test))
        across.append(probe(source.draw_balanced(600, "source", drawn), test))
        assert test.images.shape == (400, 3, 16, 16)
        assert test.images.min() >= -1
        assert test.images.max() <= 1
    # Chance is 0.25; over 2 x 400 images a share has a standard deviation of at most 0.018.
    assert np.mean(own) > 0.4
    assert np.mean(across) < np.mean(own) - 0.02


@pytest.mark.parametrize("kind", ["digits", "textures", "photographs"])
def test_target_images_are_not_those_pretrained_on(kind):
    target = World(kind, "train", "target", (0, 1, 2), 3)
    # Without what is drawn anew for each image there are few; of these none is in two roles.
    drawn = {
        role: {
            image.numpy().tobytes()
            for image in target.draw_balanced(200, role, np.random.default_rng(1)).images
        }
        for role in ("proxy", "validation", "test")
    }
    assert not drawn["proxy"] & (drawn["validation"] | drawn["test"])
    assert not drawn["validation"] & drawn["test"]


@pytest.mark.parametrize("name", GAPS)
def test_gaps_grow_with_their_strength_and_are_nothing_at_0(name):
    images = World("patterns", "train", "source", (0, 4, 8), 3).draw_balanced(
        90, "source", np.random.default_rng(0)
    )
    pixels = (images.images + 1) / 2
    changes = []
    for strength in (0.0, 0.4, 1.0):
        changed = GAPS[name](strength, 5).apply(pixels, np.random.default_rng(1))
        assert changed.min() >= 0
        assert changed.max() <= 1
        again = GAPS[name](strength, 5).apply(pixels, np.random.default_rng(1))
        assert torch.equal(changed, again)
        changes.append(float((changed - pixels).abs().mean()))
    assert changes[0] < 1e-3
    assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", PRETRAINING)
def test_pretrainings_draw_what_they_say(name):
    split = "train" if name in MEMBERS["train"].pretraining else "heldout"
    recipe = small(split=split, pretraining=name).recipe(0)
    drawn = recipe.draw(300, np.random.default_rng(0))
    assert drawn.labels.max() < recipe.num_classes
    different = len({image.numpy().tobytes() for image in drawn.images})
    assert different <= (PRETRAINING[name].images or 300)
    same_classes = recipe.origin.classes == recipe.target.classes
    assert same_classes is (name not in ("related", "unrelated"))
    assert (recipe.origin.kind != recipe.target.kind) is (name == "unrelated")
    if name == "related":
        assert not set(recipe.origin.classes) & set(recipe.target.classes)


def test_nothing_leaves_weights_as_they_were_drawn():
    recipe = small(pretraining="none", architecture="batchnorm").recipe(0)
    drawn, kept = recipe.build().state_dict(), pretrain.pretrain(recipe)
    for name, tensor in drawn.items():
        moved = "running" in name or "num_batches" in name
        assert torch.equal(kept[name], tensor) is not moved


def test_labels_are_as_uneven_as_asked_and_as_wrong():
    generator = np.random.default_rng(0)
    counts = np.sort(np.bincount(draw_labels(1000, 4, 8.0, generator)))
    assert counts[-1] / counts[0] == pytest.approx(8.0, rel=0.15)
    assert np.bincount(draw_labels(5, 5, 1000.0, generator), minlength=5).min() == 1
    even = World("patterns", "train", "source", (0, 1, 2), 3).draw_balanced(
        600, "source", generator
    )
    wrong = mislabel(even, 3, 0.25, generator).labels != even.labels
    assert float(wrong.float().mean()) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_counted_right(name):
    for depth in NETWORKS[name].depths:
        model = NETWORKS[name](Shape(4, depth), 3, torch.Generator().manual_seed(0))
        assert len(group_layers(model, head=model.get_classifier())) == model.count_layers(depth)


NEW = ("layernorm", "flat", "deep", "depthwise", "vit")
"""Those of `batchnorm` are in test_stacked_batch_norm.py."""


@pytest.mark.parametrize("architecture", NEW)
def test_stacked_is_single(architecture):
    split = "train" if architecture in MEMBERS["train"].architectures else "heldout"
    family = small(
        split=split, networks=1, architecture=architecture, classes=3, depth=None, batch_size=8
    )
    starts = [Start(in_double(family.sample(seed)), seed, 0.02) for seed in range(2)]
    runs, singles = pair(starts, FineTuning(interval=2), layers=family.max_layers)
    advance(runs, singles, torch.ones(2, family.max_layers))
    assert_equal(runs, singles, 1e-8)
    assert_scores_equal(runs, singles, 1e-8)
