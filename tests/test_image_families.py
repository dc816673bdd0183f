"""Families over image files: each on a miniature in its own layout; what is missing is named."""

import dataclasses
import json
import shutil
import warnings

import image_sets as sets
import numpy as np
import pytest
import torch

from l2o.configs.schema import FineTuning, Named
from l2o.envs.build import build
from l2o.envs.fine_tune import FineTune
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.base import SPLITS
from l2o.envs.tasks.images import (
    CorruptImageError,
    DomainsFamily,
    FolderFamily,
    FolderMasksFamily,
    GTA5CityscapesFamily,
    ImageFamily,
    ImageOptions,
    SynthiaCityscapesFamily,
    VisDA17Family,
)
from l2o.envs.tasks.images.cityscapes import CLASSES as CITY_CLASSES
from l2o.envs.tasks.images.synthia_cityscapes import SharedSegmentation
from l2o.envs.tasks.images.visda17 import CLASSES as VISDA_CLASSES

SHORT = {"workers": 0, "batch_size": 4, "steps": 3, "validation": 0.4, "target_validation": 0.4}
DENSE = {**SHORT, "network": "tiny:dense", "resize": 20}
DENSE["augment"] = (Named(name="scale_crop_mirror", options={"crop": 16}),)
FAMILIES = [name for name in TASKS if issubclass(TASKS[name], ImageFamily)]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A cache of each test's own, and the tiny network."""
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    sets.use_tiny_network(monkeypatch)


def make(name, root, **options):
    """Write a family's miniature and return the family on it."""
    if name == "folder":
        places = {
            "source": str(sets.class_folders(root / "renders", ["a", "b", "c"])),
            "target": str(sets.class_folders(root / "photos", ["a", "b", "c"], start=50)),
        }
    elif name == "domains":
        sets.office31(root)
        places = {"root": str(root), "source": ["amazon", "dslr"], "target": "webcam"}
    elif name == "visda17":
        places = {"root": str(sets.visda17(root, images=5))}
    elif name == "folder_masks":
        places = {
            "source": str(sets.folder_masks(root / "renders")),
            "target": str(sets.folder_masks(root / "photos", palette=True)),
            "classes": 3,
        }
    else:
        write = {"gta5_cityscapes": sets.gta5, "synthia_cityscapes": sets.synthia}[name]
        write(root / "source")
        sets.cityscapes(root / "city")
        places = {"root": str(root / "source"), "cityscapes": str(root / "city")}
    short = DENSE if TASKS[name].masks else SHORT
    return build("task", TASKS, Named(name=name, options={**short, **places, **options}))


# All of them ------------------------------------------------------------------------------------


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
    assert _paths(task.source_validation) == _paths(same.source_validation)
    others = [family.sample(seed).source_validation for seed in range(2, 6)]
    assert any(_paths(task.source_validation) != _paths(other) for other in others)
    for one, other in (("source_train", "source_validation"), ("target_validation", "target_test")):
        assert not set(_paths(getattr(task, one))) & set(_paths(getattr(task, other)))


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
    import ast
    import inspect
    import itertools
    import textwrap

    kind = TASKS[name].Options
    assert issubclass(kind, ImageOptions)
    told = set()
    for part in kind.__mro__[:-1]:
        body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0].body
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                told.add(field.target.id)
    assert told == {field.name for field in dataclasses.fields(kind)}


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


def _paths(data):
    listing = getattr(data.listing, "images", data.listing)
    return [listing.path(number) for number in range(len(listing))]


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
        ({"cache_gb": -1}, "cache_gb=-1 is not a number within"),
        ({"source": ""}, "source is not given; it is a folder of labelled synthetic images"),
    ],
)
def test_wrong_options_are_refused_before_any_work(options, told):
    given = {"source": "nowhere", "target": "nowhere", **options}
    with pytest.raises(ValueError, match=told):
        build("task", TASKS, Named(name="folder", options=given))


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


# folder -----------------------------------------------------------------------------------------


def test_splits_are_balanced_and_pixels_are_of_their_class(tmp_path):
    task = make("folder", tmp_path).sample(3)
    for split, count in (
        ("source_train", 12),
        ("source_validation", 6),
        ("target_validation", 6),
        ("target_test", 12),
    ):
        data = getattr(task, split)
        labels = [data[index][1] for index in range(len(data))]
        assert sorted(labels) == [k for k in range(3) for _ in range(count // 3)]
        for index, label in enumerate(labels):
            shown = float(data[index][0].mean()) * 0.25 * 255 + 127.5
            assert shown == pytest.approx(sets.grey_of(label), abs=6)
    assert task.classes == ("a", "b", "c")
    assert not task.unlabelled


def test_photographs_without_labels(tmp_path):
    source = sets.class_folders(tmp_path / "renders", ["a", "b"])
    target = sets.flat(tmp_path / "photos", images=10)
    task = FolderFamily(source=str(source), target=str(target), **SHORT).sample(0)
    assert task.unlabelled == {"target_validation", "target_test"}
    assert (len(task.target_validation), len(task.target_test)) == (4, 6)
    assert task.target_test[0][1] == task.proxy_test[0][1] == -1
    assert len(task.proxy_test) == 6


def test_photographs_in_folders_that_are_no_classes(tmp_path):
    source = sets.class_folders(tmp_path / "renders", ["a", "b"])
    target = sets.class_folders(tmp_path / "photos", ["2019", "2020"])
    options = {"source": str(source), "target": str(target), **SHORT}
    with pytest.raises(ValueError, match=r"has no class of the source: .*target_labels=false"):
        FolderFamily(**options).sample(0)
    assert "target_test" in FolderFamily(**options, target_labels=False).sample(0).unlabelled


def test_a_class_of_one_domain_only(tmp_path):
    source = sets.class_folders(tmp_path / "renders", ["a", "b"])
    target = sets.class_folders(tmp_path / "photos", {"b": 1, "c": 2})
    (tmp_path / "photos" / "a").mkdir()
    family = FolderFamily(source=str(source), target=str(target), **SHORT)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task = family.sample(0)
        family.sample(1)
    assert [str(each.message)[:44] for each in told] == [
        "6 images of the target are left out: the sou",
        "the target has no image of class 'a'; answer",
    ], "once, however many tasks"
    assert {task.target_test[index][1] for index in range(len(task.target_test))} == {1}


def test_an_empty_class_of_the_source_is_an_error(tmp_path):
    family = make("folder", tmp_path)
    (tmp_path / "renders" / "d").mkdir()
    with pytest.raises(ValueError, match="class 'd' has no image in"):
        family.sample(0)


def test_one_class_is_none(tmp_path):
    source = sets.class_folders(tmp_path / "renders", ["a"])
    with pytest.raises(
        ValueError, match="the source has the classes a; there must be two at least"
    ):
        FolderFamily(source=str(source), target=str(source)).prepare()


def test_lists_and_tables_as_source_and_target(tmp_path):
    sets.class_folders(tmp_path / "renders", ["a", "b"])
    sets.flat(tmp_path / "photos", images=6, label=1)
    lines = [f"{name}/{number}.png {name}" for name in "ab" for number in range(6)]
    (tmp_path / "renders" / "list.txt").write_text("\n".join(lines))
    rows = [f"{number}.png,{1 - number % 2}" for number in range(6)]
    (tmp_path / "photos" / "list.csv").write_text("\n".join(["image,label", *rows]))
    options = {
        "source": str(tmp_path / "renders/list.txt"), "target": str(tmp_path / "photos/list.csv")
    }  # fmt: skip
    task = FolderFamily(**options, **SHORT).sample(0)
    assert task.classes == ("a", "b")
    labels = [task.target_test[index][1] for index in range(len(task.target_test))]
    numbers = [int(path.rsplit("/")[-1][0]) for path in _paths(task.target_test)]
    assert labels == [1 - number % 2 for number in numbers]
    (tmp_path / "photos" / "list.csv").write_text("image,label\n0.png,0\n1.png,7\n")
    told = r"list.csv, line 3: label 7 of '1.png' is no class; there are 2, numbered from 0 to 1"
    with pytest.raises(ValueError, match=told):
        FolderFamily(**options, **SHORT).prepare()


def test_classes_in_an_order_of_ones_own(tmp_path):
    family = make("folder", tmp_path, classes=["c", "a", "b"])
    task = family.sample(0)
    assert task.classes == ("c", "a", "b")
    shown = float(task.target_test[0][0].mean()) * 0.25 * 255 + 127.5
    name = task.classes[task.target_test[0][1]]
    assert shown == pytest.approx(sets.grey_of("abc".index(name)), abs=6)


def test_folders_for_validation_and_retention(tmp_path):
    held = sets.class_folders(tmp_path / "held", ["b", "c", "a"], images=2)
    kept = sets.flat(tmp_path / "kept", images=3)
    task = make("folder", tmp_path, validation=str(held), retention=str(kept)).sample(0)
    assert (len(task.source_train), len(task.source_validation)) == (18, 6)
    assert all(path.startswith(str(kept)) for path in _paths(task.proxy_test))
    assert task.proxy_test[0][1] == -1
    assert task.source_validation[0][1] == 0


def test_a_missing_folder_is_named(tmp_path):
    family = make("folder", tmp_path)
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(
        ValueError, match="photos does not exist; give the folder that holds the im"
    ):
        family.prepare()


# domains ----------------------------------------------------------------------------------------


def test_domains_that_are_folders(tmp_path):
    sets.class_folders(tmp_path / "Real World", ["Alarm_Clock", "Bed"])
    sets.class_folders(tmp_path / "Art", ["Alarm_Clock", "Bed"], images=4)
    task = DomainsFamily(root=str(tmp_path), source="Art", target="Real World", **SHORT).sample(0)
    assert task.classes == ("Alarm_Clock", "Bed")
    assert len(task.source_train) + len(task.source_validation) == 8


def test_domains_with_a_folder_called_images(tmp_path):
    task = make("domains", tmp_path).sample(0)
    assert len(task.source_train) + len(task.source_validation) == 16
    assert {path.split("/")[-4] for path in _paths(task.source_train)} == {"amazon", "dslr"}
    assert task.classes == ("back_pack", "bike")


def test_domains_that_are_lists(tmp_path):
    sets.domainnet(tmp_path)
    task = DomainsFamily(root=str(tmp_path), source=["sketch"], target="real", **SHORT).sample(0)
    assert task.classes == ("apple", "bird", "clock")
    assert len(task.source_train) + len(task.source_validation) == 9
    assert (len(task.target_validation), len(task.target_test)) == (9, 3)
    assert [task.target_test[index][1] for index in range(3)] == [0, 1, 2]
    (tmp_path / "sketch/bird/1.png").unlink()
    with pytest.raises(
        ValueError, match=r"1 of the 9 images that .*sketch_train.txt lists are mis"
    ):
        DomainsFamily(root=str(tmp_path), source="sketch", target="real").prepare()


def test_wrong_domains(tmp_path):
    sets.office31(tmp_path)
    with pytest.raises(ValueError, match=r"unknown domain in .*: 'webcan'. Did you mean 'webcam'"):
        DomainsFamily(root=str(tmp_path), source="amazon", target="webcan").prepare()
    with pytest.raises(ValueError, match="target='dslr' is among source"):
        DomainsFamily(root=str(tmp_path), source=["dslr"], target="dslr")
    with pytest.raises(ValueError, match=r"nothing is no folder; expected are ROOT/DOMAIN/CLASS"):
        DomainsFamily(root=str(tmp_path / "nothing"), source="a", target="b").prepare()


# visda17 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("relaid", [False, True])
@pytest.mark.parametrize("target", ["validation", "test"])
def test_visda17_of_both_layouts(tmp_path, relaid, target):
    sets.visda17(tmp_path, relaid, images=5)
    task = VisDA17Family(root=str(tmp_path), target=target, **SHORT).sample(0)
    assert task.classes == VISDA_CLASSES
    assert task.build_objectives()[0].main == "mean_class_accuracy"
    counts = task.description["images"]
    assert counts["source_train"] + counts["source_validation"] == 60
    held, scored = (60, 60) if target == "test" else (24, 36)
    assert (counts["target_validation"], counts["target_test"]) == (held, scored)
    for path, label in zip(_paths(task.target_test), task.target_test.listing.labels):
        assert path.rsplit("/")[-1].split("_")[0] == str(label)
        assert ("trunk" in path) == (target == "test")


def test_lists_within_their_split(tmp_path):
    sets.visda17(tmp_path, relaid=True)
    for split in ("train", "validation"):
        file = tmp_path / "image_list" / f"{split}.txt"
        lines = file.read_text().splitlines()
        file.write_text("\n".join(line.removeprefix(f"{split}/") for line in lines))
    assert len(VisDA17Family(root=str(tmp_path), **SHORT).domains.source) == 24


def test_what_visda17_lacks_is_named(tmp_path):
    sets.visda17(tmp_path)
    family = VisDA17Family(root=str(tmp_path), target="test", **SHORT)
    (tmp_path / "test/image_list.txt").unlink()
    told = r"test/image_list.txt is missing, and so is .*image_list/test.txt; expected .*VisDA-2017"
    with pytest.raises(ValueError, match=told):
        family.prepare()
    file = tmp_path / "validation/image_list.txt"
    file.write_text(file.read_text() + "\nbus/2_0.jpg2 12\n")
    with pytest.raises(ValueError, match=r"1 of the 25 images .* is .*bus/2_0.jpg2 \(line 25\)"):
        VisDA17Family(root=str(tmp_path)).prepare()
    file.write_text(
        file.read_text().replace("bus/2_0.jpg2 12", "").replace("11_0.jpg 11", "11_0.jpg 12")
    )
    with pytest.raises(
        ValueError, match=r"label 12 of .* is no class; there are 12, numbered from 0"
    ):
        VisDA17Family(root=str(tmp_path)).prepare()
    with pytest.raises(ValueError, match=r"unknown target 'tset'. Did you mean 'test'"):
        VisDA17Family(root=str(tmp_path), target="tset")


# Masks ------------------------------------------------------------------------------------------


def test_folder_masks_with_a_mapping_and_unlabelled_photographs(tmp_path):
    source = sets.folder_masks(tmp_path / "renders", values=(0, 128, 255, 9))
    target = sets.flat(tmp_path / "photos")
    family = FolderMasksFamily(
        source=str(source), target=str(target), classes=["sky", "road"],
        values={0: 0, 128: 1, 255: 1}, ignore=9, **{**DENSE, "resize": None},
    )  # fmt: skip
    task = family.sample(0)
    assert task.classes == ("sky", "road")
    assert task.unlabelled == {"target_validation", "target_test"}
    labels = task.source_validation[0][1]
    number = int(_paths(task.source_validation)[0].rsplit("/")[-1][0])
    table = {0: 0, 128: 1, 255: 1, 9: 255}
    wanted = np.vectorize(table.get)(sets.mask_of((0, 128, 255, 9), number))
    assert np.array_equal(labels.numpy(), wanted)
    assert set(task.target_test[0][1].flatten().tolist()) == {255}
    assert task.proxy_test[0][0].shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda r: (r / "masks/1.png").unlink(), "1 of 4 images have no mask in .*masks: '1'"),
        (lambda r: shutil.rmtree(r / "masks"), "renders/masks is missing; expected are FOLDER/im"),
        (
            lambda r: sets.save_mask(r / "masks/2.png", np.zeros((5, 6), np.uint8)),
            r"1 of 4 masks differ from their images in size, the first is .*2.png \(6x5\) of",
        ),
        (
            lambda r: sets.save(r / "images/1.png", sets.picture(0)),
            "has both 1.jpg and 1.png; which of them a mask",
        ),
    ],
)
def test_masks_that_do_not_fit_are_named(tmp_path, spoil, told):
    family = make("folder_masks", tmp_path)
    spoil(tmp_path / "renders")
    with pytest.raises(ValueError, match=told):
        family.prepare()


def test_a_mask_without_an_image_is_told(tmp_path):
    family = make("folder_masks", tmp_path)
    (tmp_path / "renders/images/3.jpg").unlink()
    with pytest.warns(UserWarning, match="1 masks in .* have no image: '3'"):
        assert len(family.domains.source) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classes": 1}, "classes=1 must be 2 to 255, or as many names"),
        ({"classes": 3, "values": {0: 5}}, "values maps 0 to class 5; there are 3"),
    ],
)
def test_wrong_classes_of_masks(options, told):
    with pytest.raises(ValueError, match=told):
        FolderMasksFamily(source="a", target="b", **options)


def test_gta5_skips_what_differs_in_size_and_maps_ids(tmp_path):
    family = make("gta5_cityscapes", tmp_path, resize=None)
    with pytest.warns(UserWarning, match=r"1 scenes of GTA5 are left out, .*'images/00003.png'"):
        task = family.sample(0)
    assert task.description["left_out_for_size"] == 1
    assert task.classes == CITY_CLASSES
    assert len(task.source_train) + len(task.source_validation) == 4
    table = {0: 255, 7: 0, 8: 1, 26: 13, 33: 18}
    number = int(_paths(task.source_validation)[0].rsplit("/")[-1][:5])
    labels = task.source_validation[0][1].numpy()
    wanted = np.vectorize(table.get)(sets.mask_of(tuple(table), number, labels.shape))
    assert np.array_equal(labels, wanted)


def test_gta5_by_a_list(tmp_path):
    (tmp_path / "list.txt").write_text("images/00001.png labels/00001.png\n00002.png\n00004.png\n")
    family = make("gta5_cityscapes", tmp_path, source_list=str(tmp_path / "list.txt"))
    assert len(family.domains.source) == 3
    (tmp_path / "list.txt").write_text("00099.png\n")
    with pytest.raises(ValueError, match=r"1 of 1 images have no image in .*images: '00099'"):
        make("gta5_cityscapes", tmp_path, source_list=str(tmp_path / "list.txt")).prepare()


def test_cityscapes_is_scored_whole_and_as_it_is(tmp_path):
    task = make("synthia_cityscapes", tmp_path, target_validation=0.5).sample(0)
    assert (len(task.target_validation), len(task.target_test)) == (3, 3)
    pixels, labels = task.target_test[0]
    assert pixels.shape == (3, 20, 40), "shrunk, as asked for"
    assert labels.shape == (24, 48), "but scored at full size"
    table = {0: 255, 7: 0, 11: 2, 24: 11, 33: 18}
    wanted = np.vectorize(table.get)(sets.mask_of(tuple(table), 0, (24, 48)))
    assert np.array_equal(labels.numpy(), wanted)
    assert all("/val/munster/" in path for path in _paths(task.target_test))
    assert all("/train/" in path for path in _paths(task.target_validation))
    assert task.loading.scoring_batch == 1


def test_synthia_reads_the_class_of_16_bits(tmp_path):
    task = make("synthia_cityscapes", tmp_path, resize=None).sample(0)
    table = {0: 255, 3: 0, 4: 1, 21: 3, 12: 17, 22: 255}
    for index in range(2):
        number = int(_paths(task.source_validation)[index].rsplit("/")[-1][:7])
        wanted = np.vectorize(table.get)(sets.mask_of(tuple(table), number))
        assert np.array_equal(task.source_validation[index][1].numpy(), wanted)


@pytest.mark.parametrize(
    ("family", "gone", "told"),
    [
        ("gta5_cityscapes", "source/labels", r"labels is missing; expected .*Playing for Data"),
        ("gta5_cityscapes", "source/labels/00002.png", "1 of 5 images have no mask in .*: '00002'"),
        (
            "synthia_cityscapes",
            "source/GT",
            r"GT/LABELS is missing; expected .*synthia-dataset.net",
        ),
        ("synthia_cityscapes", "city/leftImg8bit/val", r"val is missing; .*cityscapes-dataset.com"),
        (
            "gta5_cityscapes",
            "city/gtFine/val/munster/munster_000001_000019_gtFine_labelIds.png",
            "1 of 3 masks are missing in .*city: 'gtFine/val/munster/munster_000001",
        ),
    ],
)
def test_what_a_data_set_lacks_is_named(tmp_path, family, gone, told):
    made = make(family, tmp_path)
    path = tmp_path / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(ValueError, match=told):
        made.prepare()


def test_both_means_of_synthia_are_exact():
    """By hand: of 19 classes, in three pixels each, all right but for those of class 3 and 9."""
    labels = torch.arange(19).repeat_interleave(3).view(1, 1, 57)
    answers = labels.clone()
    answers[labels == 3] = 0  # wall for road
    answers[labels == 9] = 8  # terrain for vegetation
    logits = torch.nn.functional.one_hot(answers, 19).permute(0, 3, 1, 2).float()
    scores = SharedSegmentation(outputs=19).score(lambda x: x, [(logits, labels)])
    # road and vegetation are half right: 3 of 6.
    assert scores["miou_16"] == pytest.approx((13 + 0.5 + 0.5 + 0) / 16)
    assert scores["miou_13"] == pytest.approx((11 + 0.5 + 0.5) / 13)
    assert scores["miou"] == pytest.approx((15 + 0.5 + 0.5) / 19)
    assert SynthiaCityscapesFamily.objective.main == "miou_16"
    assert GTA5CityscapesFamily.objective == "segmentation"
