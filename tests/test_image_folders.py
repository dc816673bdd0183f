"""Families of images with classes: what lies where, and what is missing."""

import shutil
import warnings

import image_sets as sets
import pytest
from image_families import SHORT, make, paths_of

from l2o.envs.tasks.images import DomainsFamily, FolderFamily, VisDA17Family
from l2o.envs.tasks.images.visda17 import CLASSES as VISDA_CLASSES


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A cache of each test's own, and the tiny network."""
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    sets.use_tiny_network(monkeypatch)


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
    numbers = [int(path.rsplit("/")[-1][0]) for path in paths_of(task.target_test)]
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
    assert all(path.startswith(str(kept)) for path in paths_of(task.proxy_test))
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
    assert {path.split("/")[-4] for path in paths_of(task.source_train)} == {"amazon", "dslr"}
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
    for path, label in zip(paths_of(task.target_test), task.target_test.listing.labels):
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
