"""Every family over image files: tasks, options, faults, and the cache behind them."""

import dataclasses
import json

import image_sets as sets
import pytest
import torch
from documented import documented_fields
from image_families import FAMILIES, make, paths_of

from l2o.configs.schema import FineTuning, Named
from l2o.envs.build import build
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.base import SPLITS
from l2o.envs.tasks.build import build_task
from l2o.envs.tasks.images import CorruptImageError, FolderFamily, ImageOptions


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A cache of each test's own, and the tiny network."""
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    sets.use_tiny_network(monkeypatch)


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_task_of_every_family(name, tmp_path):
    family = make(name, tmp_path)
    assert family.name == name
    assert not family.in_memory
    assert family.max_layers == 3
    family.prepare()
    task, same = family.sample(1), make(name, tmp_path).sample(1)
    assert task.num_classes == len(task.classes) == len(family.domains.classes)
    assert task.proxy_answers
    assert task.network is family.network
    assert task.batch_norm == "frozen"
    assert not task.in_memory
    json.dumps(task.description)
    for split in SPLITS:
        data = getattr(task, split)
        assert len(data) == task.description["images"][split] > 0
        pixels, label = data[0]
        assert pixels.dtype == torch.float32
        assert torch.equal(pixels, getattr(same, split)[0][0]) or split == "source_train"
        if family.masks and split != "proxy_test":
            assert label.dtype == torch.int64
            assert set(label.flatten().tolist()) <= {*range(task.num_classes), 255}
        else:
            assert label == -1 if split == "proxy_test" else label in range(task.num_classes)
    assert paths_of(task.source_validation) == paths_of(same.source_validation)
    others = [family.sample(seed).source_validation for seed in range(2, 6)]
    assert any(paths_of(task.source_validation) != paths_of(other) for other in others)
    for one, other in (("source_train", "source_validation"), ("target_validation", "target_test")):
        assert not set(paths_of(getattr(task, one))) & set(paths_of(getattr(task, other)))


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_fine_tuned_on(name, tmp_path):
    family = make(name, tmp_path)
    run = FineTune(family.sample(0), FineTuning(interval=2, guidance={}), seed=1)
    main = run.objective.main
    run.advance(3)
    assert run.done
    assert not run.diverged
    scores = run.scores("target_test")
    assert 0.0 <= scores[main] <= 1.0
    assert scores["loss"] > 0.0


@pytest.mark.parametrize("name", FAMILIES)
def test_options_are_one_documented_thing(name):
    """A line for each field, right below it."""
    kind = TASKS[name].Options
    assert issubclass(kind, ImageOptions)
    assert documented_fields(kind) == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("name", FAMILIES)
def test_places_must_be_given(name):
    with pytest.raises(ValueError, match="is not given"):
        build("task", TASKS, Named(name=name, options={}))


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_corrupt_image_is_named(name, tmp_path):
    family = make(name, tmp_path, cache=False)
    task = family.sample(0)
    data = task.target_test
    listing = data.listing.images if family.masks else data.listing
    path = listing.path(0)
    with open(path, "r+b") as file:
        file.truncate(40)
    with pytest.raises(CorruptImageError, match=path):
        data[0]
    skipping = make(name, tmp_path / "again", cache=False, on_corrupt="skip").sample(0).target_test
    listing = skipping.listing.images if family.masks else skipping.listing
    with open(listing.path(0), "r+b") as file:
        file.truncate(40)
    with pytest.warns(UserWarning, match="takes its place"):
        assert torch.equal(skipping[0][0], skipping[1][0])
    assert skipping.corrupt == 1


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", FAMILIES)
def test_the_cache_changes_nothing(name, tmp_path):
    plain = make(name, tmp_path / "data", cache=False).sample(0)
    for _ in range(2):
        held = make(name, tmp_path / "data").sample(0)
        for split in ("source_validation", "target_test", "proxy_test"):
            for index in range(2):
                one, other = getattr(plain, split)[index], getattr(held, split)[index]
                assert torch.equal(one[0], other[0])
                assert torch.equal(torch.as_tensor(one[1]), torch.as_tensor(other[1]))
    assert list((tmp_path / "cache/images").glob("*/pixels.u8"))


# Options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 1, "epochs": 2}, "steps=1 and epochs=2 both say how long"),
        ({"steps": 0}, "steps=0 is not within"),
        ({"size": "big"}, "size='big' is not a whole number"),
        ({"validation": 1.5}, "validation=1.5 must be a share between 0 and 1"),
        ({"target_validation": 0}, "target_validation=0 must be a share"),
        ({"batch_norm": "thawed"}, "batch_norm='thawed' is none of frozen, trained"),
        ({"on_corrupt": "ignore"}, "on_corrupt='ignore' is none of error, skip"),
        ({"augment": "flop"}, "unknown augmentation 'flop'. Did you mean 'flip'"),
        ({"augment": [{"name": "flip", "options": {"p": 7}}]}, "flip: p=7 must be in"),
        ({"sise": 3}, "task 'folder' has no option 'sise'. Did you mean 'size'"),
        ({"size": 8, "inputs": {"size": 9}}, "size=8 and inputs=.* both have a size; give one"),
        ({"cache_gb": -1}, "cache_gb=-1 is not a number within"),
        ({"source": ""}, "source is not given; it is a folder of labelled synthetic images"),
    ],
)
def test_wrong_options_are_refused_before_any_work(options, told):
    given = {"source": "nowhere", "target": "nowhere", **options}
    with pytest.raises(ValueError, match=told):
        build("task", TASKS, Named(name="folder", options=given))


def test_lists_and_plain_data_will_do():
    places = {"source": "r", "target": "t"}
    plain = [{"name": "flip", "options": {"p": 1.0}}, "crop"]
    wanted = (Named(name="flip", options={"p": 1.0}), "crop")
    for given in (plain, tuple(plain)):
        assert FolderFamily(**places, augment=given).options.augmentations() == wanted
    assert FolderFamily(**places, augment=plain[0]).options.augmentations() == wanted[:1]
    assert FolderFamily(**places, augment="crop", classes=["b", "a"]).options.classes == ("b", "a")


def test_options_of_another_family_are_refused():
    with pytest.raises(TypeError, match=r"FolderFamily takes FolderOptions\(...\), or its fields"):
        FolderFamily(ImageOptions())


def test_what_the_user_chose_reaches_the_task(tmp_path):
    chosen = {"batch_size": 5, "epochs": 3, "steps": None, "base_lr": 0.02, "workers": 1}
    chosen |= {"batch_norm": "trained", "scoring_batch": 7, "size": 10}
    task = make("folder", tmp_path, **chosen).sample(0)
    # 18 images, of each class's 6 a share of 0.4 held out: 12 stay, 2 batches of 5 an epoch.
    assert len(task.source_train) == 12
    assert (task.steps, task.batch_size, task.base_lr) == (6, 5, 0.02)
    assert (task.loading.workers, task.loading.scoring_batch) == (1, 7)
    assert task.batch_norm == "trained"
    assert task.source_train[0][0].shape == task.target_test[0][0].shape == (3, 10, 10)
    assert task.description["options"]["epochs"] == 3
    assert len(task.description["content"]) == 2


@pytest.mark.parametrize(("augment", "kept"), [("centre", True), ("flip", False)])
def test_answers_of_the_frozen_network_are_kept_where_images_are_the_same(augment, kept, tmp_path):
    task = make("folder", tmp_path, augment=augment, steps=12).sample(0)
    assert task.source_train.deterministic == kept
    ends = []
    for cache in (True, False):
        run = FineTune(task, FineTuning(interval=4), seed=1, cache_teacher=cache)
        run.advance(12)
        ends.append((run.last_loss, run.last_proxy_kl))
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


@pytest.mark.parametrize("name", ["subprocess:Popen", "json:dumps"])
def test_what_makes_no_family_of_tasks_is_no_task(name):
    options = {"args": ["true"]} if name == "subprocess:Popen" else {"obj": 1}
    with pytest.raises(ValueError, match="which is no family of tasks"):
        build_task(Named(name=name, options=options))
