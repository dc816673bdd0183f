"""Listings of image files: folders, lists, tables; classes aligned, splits drawn."""

import os
import time
import warnings
from collections import Counter
from pathlib import Path

import image_sets as sets
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2o.envs.tasks.images.classes import align, split_by_share
from l2o.envs.tasks.images.list_files import list_from_file
from l2o.envs.tasks.images.listing import (
    SUFFIXES,
    Listing,
    list_class_folders,
    list_images,
    merge,
)


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def found(listing):
    """Return {path: name of its class}."""
    return {p: listing.classes[k] for p, k in zip(listing.paths, listing.labels)}


# Folders ----------------------------------------------------------------------------------------


def test_folders_are_classes_in_order_of_their_names(tmp_path):
    touch(tmp_path, "dog/2.JPG", "dog/1.png", "cat/a b.jpeg", "cat/deep/er/3.webp")
    touch(tmp_path, "cat/._2.jpg", "cat/notes.txt", ".git/9.png", "README.md")
    listing = list_class_folders(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert listing.paths == ("cat/a b.jpeg", "cat/deep/er/3.webp", "dog/1.png", "dog/2.JPG")
    assert listing.labels.tolist() == [0, 0, 1, 1]
    assert listing.labels.dtype == np.int64
    assert listing.labelled
    assert listing.path(2) == str(tmp_path / "dog/1.png")
    assert found(listing.take([3, 0])) == {"dog/2.JPG": "dog", "cat/a b.jpeg": "cat"}
    assert not listing.without_labels().labelled


def test_links_are_followed_but_never_in_circles(tmp_path):
    touch(tmp_path, "images/a/1.png", "other/2.png")
    os.symlink(tmp_path / "other", tmp_path / "images" / "b")
    os.symlink(tmp_path / "images" / "a", tmp_path / "images" / "a" / "again")
    assert list_class_folders(tmp_path / "images").paths == ("a/1.png", "b/2.png")


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ([], "has no folders; images with a class are expected"),
        (["a/1.png", "b/notes.txt"], r"class 'b' has no image in .*b; put some there"),
        (["a/1.png", "2.png"], r"images beside its folders \(2.png\)"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, paths, told):
    with pytest.raises(ValueError, match=told):
        list_class_folders(touch(tmp_path, *paths))


def test_places_without_images_are_refused(tmp_path):
    for wrong in (lambda: list_images(tmp_path), lambda: list_images(tmp_path / "nothing")):
        with pytest.raises(ValueError, match=f"^{tmp_path}.* (has no image|does not exist)"):
            wrong()
    file = touch(tmp_path, "a.png") / "a.png"
    with pytest.raises(ValueError, match="is a file, not a folder"):
        list_class_folders(file)


def test_images_without_labels_are_all_that_lie_there_and_below(tmp_path):
    touch(tmp_path, "b.png", "2019/a.jpg", "2019/.hidden.jpg", "2019/x.raw")
    listing = list_images(tmp_path)
    assert listing.paths == ("2019/a.jpg", "b.png")
    assert listing.labels.tolist() == [-1, -1]
    assert not listing.labelled


def test_many_files_are_listed_in_seconds(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5000):
            os.close(os.open(tmp_path / name / f"{number}.jpg", os.O_CREAT))
    start = time.perf_counter()
    listing = list_class_folders(tmp_path)
    assert len(listing.content_hash) == 64
    assert len(listing) == 10_000
    # 50,000 in a few seconds, with much to spare on a busy machine.
    assert time.perf_counter() - start < 3


def test_the_hash_of_the_content_knows_no_place(tmp_path):
    one = list_class_folders(sets.class_folders(tmp_path / "one", ["a", "b"]))
    other = list_class_folders(sets.class_folders(tmp_path / "other", ["a", "b"]))
    assert one.content_hash == other.content_hash
    (tmp_path / "other/a/0.png").write_bytes(b"longer or shorter")
    assert one.content_hash != list_class_folders(tmp_path / "other").content_hash


def test_several_sources_are_one_listing(tmp_path):
    one = list_class_folders(touch(tmp_path / "art", "a/1.png", "b/1.png"))
    other = list_class_folders(touch(tmp_path / "sketch", "b/2.png", "c/2.png"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        both = merge([one, other])
    assert [str(each.message).split("has no class ")[1] for each in told] == [
        "'c', which other sources have",
        "'a', which other sources have",
    ]
    assert found(both) == {
        "art/a/1.png": "a",
        "art/b/1.png": "b",
        "sketch/b/2.png": "b",
        "sketch/c/2.png": "c",
    }
    assert Path(both.path(0)).is_file()
    assert merge([one]) is one


# Lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("a/1.png 0\na/2.png 0\n\nb/1.png 1\n", ("a", "b")),
        ("\ufeffa/1.png 1\r\nb/1.png 0\r\n", ("b", "a")),
        ("a/1.png dog\nb/1.png cat\n", ("cat", "dog")),
        ("a/1.png\tbig dog\nb/1.png\tcat\n", ("big dog", "cat")),
        ("a/1.png 0\nb/1.png 0\na/2.png 1\n", ("0", "1")),
        ("a\\1.png 3\nb\\1.png 7\n", ("a", "b")),
    ],
)
def test_lists(tmp_path, text, classes):
    touch(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    listing = list_from_file(tmp_path / "list.txt")
    assert listing.classes == classes
    assert listing.root == str(tmp_path)
    for line, label in zip(filter(None, text.split("\n")), listing.labels):
        told = line.strip("\ufeff\r").split("\t" if "\t" in line else " ", 1)[1]
        assert classes[label] == told or told.isdecimal()


def test_numbers_mean_what_is_known_of_them(tmp_path):
    touch(tmp_path, "x/1.png", "x/2.png", "x/3.png")
    (tmp_path / "list.txt").write_text("x/1.png 0\nx/2.png 1\nx/3.png 1\n")
    listing = list_from_file(tmp_path / "list.txt", numbered=["cat", "dog"])
    assert [listing.classes[label] for label in listing.labels] == ["cat", "dog", "dog"]
    listing = list_from_file(tmp_path / "list.txt", classes=["1", "0"])
    assert listing.labels.tolist() == [1, 0, 0], "a name goes before a number"


@pytest.mark.parametrize(
    ("header", "separator"),
    [("path,label", ","), ("Image,split,Class", ",x,"), ("file,label", ","), ("file;label", ";")],
)
def test_tables(tmp_path, header, separator):
    touch(tmp_path, "a, or b/1.png", "c/2.png")
    rows = [f'"a, or b/1.png"{separator}cat', f"c/2.png{separator}dog"]
    (tmp_path / "list.csv").write_text("\n".join([header, *rows]))
    assert found(list_from_file(tmp_path / "list.csv")) == {
        "a, or b/1.png": "cat",
        "c/2.png": "dog",
    }


@pytest.mark.parametrize("text", ["a/1.png\nmy photo.png\n", "path\na/1.png\nmy photo.png\n"])
def test_lists_without_labels(tmp_path, text):
    touch(tmp_path, "a/1.png", "my photo.png")
    name = "list.csv" if text.startswith("path") else "list.txt"
    (tmp_path / name).write_text(text)
    listing = list_from_file(tmp_path / name)
    assert listing.paths == ("a/1.png", "my photo.png")
    assert not listing.labelled


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.txt", "a/1.png 0\na/9.png 0\n", r"1 of the 2 images that .* is .*a/9.png \(line 2\)"),
        ("l.txt", "a/1.png 0\na/2.png two\n", None),
        ("l.txt", "a/1.png -1\na/2.png 1\n", None),
        ("l.txt", "a/1.png 0\na/2.png 2\n", "class 1 has no image in .*, whose labels go up to 2"),
        ("l.txt", "a/1.png 0\na/2.png\n", r"line 2: 'a/2.png' has no label, while others have"),
        ("l.txt", "a/1.png 0\na/1.png 1\n", r"lists 'a/1.png' twice, in lines 1 and 2"),
        ("l.txt", "nonsense\n", "line 1: 'nonsense' is no `relative/path label`"),
        ("l.txt", "\n", "lists no image"),
        ("l.csv", "picture,label\na/1.png,0\n", "has no column path, file, filename, image"),
        ("l.csv", "path,label\n,0\n", "line 2: column 'path' is empty"),
        ("l.csv", "path,label\na/1.png,0\na/2.png,\n", "line 3: 'a/2.png' has no label"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, name, text, told):
    touch(tmp_path, "a/1.png", "a/2.png")
    (tmp_path / name).write_text(text)
    if told is None:  # a word among numbers is a name, too
        assert len(list_from_file(tmp_path / name).classes) == 2
        return
    with pytest.raises(ValueError, match=told):
        list_from_file(tmp_path / name)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("2", r"line 2: label 2 of 'a/2.png' is no class; there are 2, numbered from 0 to 1"),
        ("-1", r"label -1 of 'a/2.png' is no class"),
        ("dgo", r"line 2: unknown class of 'a/2.png': 'dgo'. Did you mean 'dog'\?"),
    ],
)
def test_wrong_labels_are_named(tmp_path, label, told):
    touch(tmp_path, "a/1.png", "a/2.png")
    (tmp_path / "list.txt").write_text(f"a/1.png 0\na/2.png {label}\n")
    with pytest.raises(ValueError, match=told):
        list_from_file(tmp_path / "list.txt", classes=["cat", "dog"])


def test_a_list_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"no.txt does not exist; it is to list images as lines"):
        list_from_file(tmp_path / "no.txt")


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.tuples(NAMES, NAMES, st.sampled_from(SUFFIXES)),
        st.integers(0, 3),
        min_size=1,
        max_size=12,
    ),
    tabs=st.booleans(),
)
def test_what_a_list_says_is_what_is_found(tmp_path_factory, files, tabs):
    root = tmp_path_factory.mktemp("list")
    wanted = {}
    for (folder, name, suffix), label in files.items():
        path = f"{folder}/{name}{suffix}".replace("\\", "-").replace("..", "-")
        if not path.startswith(("/", ".")) and path not in wanted:
            wanted[path] = f"class {label}" if tabs else f"class{label}"
    if not wanted:
        return
    touch(root, *wanted)
    separator = "\t" if tabs else " "
    text = "\n".join(f"{path}{separator}{label}" for path, label in wanted.items())
    (root / "list.txt").write_text(text, encoding="utf-8", newline="")
    assert found(list_from_file(root / "list.txt")) == wanted


# Classes and splits -----------------------------------------------------------------------------


def listed(names, labels):
    paths = tuple(f"{number}.png" for number in range(len(labels)))
    return Listing("target", paths, np.array(labels), tuple(names))


def test_classes_are_aligned_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aligned = align(listed(["b", "a"], [0, 1, 1]), ["a", "b"], "target")
    assert aligned.labels.tolist() == [1, 0, 0]
    assert aligned.classes == ("a", "b")


def test_a_class_of_one_domain_only():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        aligned = align(listed(["a", "strange"], [0, 1, 1, 0]), ["a", "b"], "target")
    assert aligned.paths == ("0.png", "3.png")
    assert aligned.labels.tolist() == [0, 0]
    first, second = (str(each.message) for each in told)
    assert first == "2 images of the target are left out: the source has no class 'strange'"
    assert second.startswith("the target has no image of class 'b'; answers of")
    with pytest.raises(ValueError, match=r"has no class of the source: its classes are 'x', the"):
        align(listed(["x"], [0]), ["a", "b"], "target")


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**40),
)
def test_splits_are_disjoint_whole_balanced_and_drawn_by_the_seed(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    if max(counts) == 1:
        with pytest.raises(
            ValueError, match=r"^validation=.*, one of each class, is none; add images"
        ):
            split_by_share(labels, share, seed, 0, "validation")
        return
    held, rest = split_by_share(labels, share, seed, 0, "validation")
    assert sorted([*held, *rest]) == list(range(len(labels)))
    chosen, left = Counter(labels[held].tolist()), Counter(labels[rest].tolist())
    for label, count in enumerate(counts):
        assert chosen[label] == min(max(1, round(share * count)), count - 1)
        assert left[label] >= 1
    again, _ = split_by_share(labels, share, seed, 0, "validation")
    assert np.array_equal(held, again)


def test_other_seeds_and_purposes_draw_others():
    labels = np.zeros(100, dtype=np.int64)
    draws = [tuple(split_by_share(labels, 0.3, s, p, "x")[0]) for s in (0, 1) for p in (0, 1)]
    assert len(set(draws)) == 4
