"""Families of images with masks: what lies where, what masks mean, what is missing."""

import shutil

import image_sets as sets
import numpy as np
import pytest
import torch
from image_families import DENSE, make, paths_of

from l2o.envs.tasks.images import FolderMasksFamily, GTA5CityscapesFamily, SynthiaCityscapesFamily
from l2o.envs.tasks.images.cityscapes import CLASSES as CITY_CLASSES
from l2o.envs.tasks.images.synthia_cityscapes import SharedSegmentation


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A cache of each test's own, and the tiny network."""
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    sets.use_tiny_network(monkeypatch)


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
    number = int(paths_of(task.source_validation)[0].rsplit("/")[-1][0])
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


def test_black_and_white_masks(tmp_path):
    """255 counts nowhere unless told otherwise: then nothing but the ground would be learned."""
    source = sets.folder_masks(tmp_path / "renders", values=(0, 255))
    places = {"source": str(source), "target": str(source), "classes": 2, **DENSE}
    with pytest.warns(UserWarning, match=r"hold 0, and pixels .* say values=\{0: 0, 255: 1\}"):
        FolderMasksFamily(**places).prepare()
    task = FolderMasksFamily(**places, values={0: 0, 255: 1}).sample(0)
    assert set(task.target_test[0][1].flatten().tolist()) == {0, 1}


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
    number = int(paths_of(task.source_validation)[0].rsplit("/")[-1][:5])
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
    assert all("/val/munster/" in path for path in paths_of(task.target_test))
    assert all("/train/" in path for path in paths_of(task.target_validation))
    assert task.loading.scoring_batch == 1


def test_synthia_reads_the_class_of_16_bits(tmp_path):
    task = make("synthia_cityscapes", tmp_path, resize=None).sample(0)
    table = {0: 255, 3: 0, 4: 1, 21: 3, 12: 17, 22: 255}
    for index in range(2):
        number = int(paths_of(task.source_validation)[index].rsplit("/")[-1][:7])
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
