"""The cache of decoded images: the same pixels, whole after a kill, bounded, shared."""

import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path

import image_sets as sets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from l2o.envs.tasks.images.augment import Normalise, chain, scoring_transform
from l2o.envs.tasks.images.cache import PixelCache
from l2o.envs.tasks.images.cache_room import CacheRoom
from l2o.envs.tasks.images.image_files import ImageFiles
from l2o.envs.tasks.images.listing import list_class_folders
from l2o.envs.tasks.images.pixels import PixelReader

SHAPE = (12, 10, 3)
FORK = multiprocessing.get_context("fork")


def pixels(number, shape=SHAPE):
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def refuse():
    raise AssertionError("it should be held")


def filled_cache(folder, images=4, limit=10**6):
    cache = PixelCache.create(folder, images, limit)
    for number in range(images):
        cache.get(number, lambda number=number: pixels(number))
    return cache


def test_what_was_made_once_is_held(tmp_path):
    cache = filled_cache(tmp_path)
    assert cache.filled == 4
    for again in (cache, PixelCache.create(tmp_path, 4, 10**6)):
        for number in range(4):
            assert np.array_equal(again.get(number, refuse), pixels(number))


def test_images_of_different_sizes(tmp_path):
    shapes = [(1, 1, 3), (300, 2, 3), (5, 7, 1)]
    cache = PixelCache.create(tmp_path, 3, 10**6)
    for _ in range(2):
        for number, shape in enumerate(shapes):
            found = cache.get(number, lambda n=number, s=shape: pixels(n, s))
            assert np.array_equal(found, pixels(number, shape))


@pytest.mark.parametrize("damage", ["index", "short index", "other index", "no pixels", "pixels"])
def test_what_is_damaged_is_made_anew(tmp_path, damage):
    cache = filled_cache(tmp_path)
    index, data = cache.index_file, cache.pixel_file
    if damage == "index":
        rows = np.fromfile(index, dtype=np.int64).reshape(-1, 6)
        rows[2] = [10**15, 12, 10, 3, 5, 1]  # far outside
        rows[3] = [0, -5, 10, 3, 5, 1]
        rows.tofile(index)
    elif damage == "short index":
        index.write_bytes(index.read_bytes()[:-8])
    elif damage == "other index":
        index.write_bytes(bytes(index.stat().st_size))
    elif damage == "no pixels":
        data.unlink()
    else:
        content = bytearray(data.read_bytes())
        content[400] ^= 1
        data.write_bytes(content[:-50])
    for _ in range(2):
        again = PixelCache.create(tmp_path, 4, 10**6)
        for number in range(4):
            found = again.get(number, lambda number=number: pixels(number))
            assert np.array_equal(found, pixels(number))
    assert again.filled == 4
    for number in range(4):
        again.get(number, refuse)


def test_it_never_grows_beyond_its_limit(tmp_path):
    size = int(np.prod(SHAPE))
    cache = PixelCache.create(tmp_path, 4, 2 * size + 10)
    for number in range(2):
        cache.get(number, lambda number=number: pixels(number))
    with pytest.warns(UserWarning, match=r"has no room left in its 0.00 GB; what it lacks is read"):
        cache.get(2, lambda: pixels(2))
    assert cache.filled == 2
    assert cache.pixel_file.stat().st_size == 2 * size
    assert np.array_equal(cache.get(3, lambda: pixels(3)), pixels(3))


def test_a_full_disk_is_no_end(tmp_path, monkeypatch):
    cache = PixelCache.create(tmp_path, 4, 10**6)

    def full(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write", full)
    with pytest.warns(UserWarning, match=r"cannot be filled \(.*No space left"):
        assert np.array_equal(cache.get(0, lambda: pixels(0)), pixels(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(cache.get(0, lambda: pixels(0)), pixels(0))


def fill_slowly(folder, images, pause):
    cache = PixelCache.create(folder, images, 10**8)
    for number in range(images):
        cache.get(number, lambda number=number: pixels(number, (200, 200, 3)))
        time.sleep(pause)


def test_a_kill_while_it_is_filled_leaves_nothing_wrong(tmp_path):
    images = 200
    for after in (0.01, 0.03, 0.06):
        process = FORK.Process(target=fill_slowly, args=(tmp_path, images, 0.0002))
        process.start()
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    cache = PixelCache.create(tmp_path, images, 10**8)
    for number in range(images):
        found = cache.get(number, lambda number=number: pixels(number, (200, 200, 3)))
        assert np.array_equal(found, pixels(number, (200, 200, 3)))
    assert cache.filled == images


def test_a_row_without_its_last_word_does_not_count(tmp_path):
    """As a process leaves it that is killed between the pixels and the word that they are there."""
    cache = filled_cache(tmp_path)
    cache._rows()[2, -1] = 0
    again = PixelCache.create(tmp_path, 4, 10**6)
    assert np.array_equal(again.get(1, lambda: pixels(7)), pixels(7))


def test_two_processes_may_fill_it_at_once(tmp_path):
    started = [FORK.Process(target=fill_slowly, args=(tmp_path, 60, 0.0)) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    cache = PixelCache.create(tmp_path, 60, 10**8)
    for number in range(60):
        assert np.array_equal(cache.get(number, refuse), pixels(number, (200, 200, 3)))


def test_a_cache_that_is_removed_or_replaced_under_a_run_does_no_harm(tmp_path):
    cache = filled_cache(tmp_path / "c", images=3)
    cache.get(0, refuse)
    for file in (tmp_path / "c").iterdir():
        file.unlink()
    other = PixelCache.create(tmp_path / "c", 3, 10**6)
    other.get(1, lambda: pixels(9))
    for number in range(3):
        assert np.array_equal(cache.get(number, refuse), pixels(number))


# With data sets ---------------------------------------------------------------------------------


def data_of(folder, cache, side=16):
    listing = list_class_folders(folder)
    reader = PixelReader(listing.path, side, cache=cache)
    transform = chain(scoring_transform(sets.INPUTS), Normalise(sets.INPUTS))
    return ImageFiles(listing, transform, reader=reader)


def open_cache(folder, room, side=16):
    listing = list_class_folders(folder)
    files = [listing.path(number) for number in range(len(listing))]
    return room.open(files, {"side": side}, side)


def test_the_same_pixels_with_and_without(tmp_path):
    sets.class_folders(tmp_path / "images", ["a", "b"], images=5, suffix=".jpg")
    plain = data_of(tmp_path / "images", None)
    cache = open_cache(tmp_path / "images", CacheRoom(1.0, tmp_path / "cache"))
    for workers in (2, 0):
        held = DataLoader(data_of(tmp_path / "images", cache), batch_size=3, num_workers=workers)
        for (one, labels), (other, same) in zip(DataLoader(plain, batch_size=3), held, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(labels, same)
        assert cache.filled == 10, "workers fill it for all"


def test_another_file_side_or_time_is_another_cache(tmp_path):
    folder = sets.class_folders(tmp_path / "images", ["a", "b"], images=2)
    keys = set()

    def note(side=16):
        keys.add(open_cache(folder, CacheRoom(1.0, tmp_path / "cache"), side).folder)

    note()
    note()
    assert len(keys) == 1
    note(side=17)
    os.utime(folder / "a/0.png", ns=(1, 1))
    note()
    sets.save(folder / "a/0.png", sets.picture(3))
    note()
    sets.save(folder / "a/9.png", sets.picture(3))
    note()
    assert len(keys) == 5


def test_what_would_not_fit_is_not_cached(tmp_path):
    folder = sets.class_folders(tmp_path / "images", ["a", "b"], images=4)
    with pytest.warns(UserWarning, match=r"8 images take some 0.0 GB .*Raise cache_gb, or set"):
        assert open_cache(folder, CacheRoom(1e-6, tmp_path / "cache")) is None
    assert not (tmp_path / "cache").exists()


def test_old_caches_make_room(tmp_path):
    side, images = 64, 60
    size = images * side**2 * 3  # bytes of one of them, decoded
    folders, caches = [], []

    def opened(number, room):
        return open_cache(folders[number], room, side).folder

    for number in range(3):
        folders.append(tmp_path / f"images{number}")
        for place in range(images):
            sets.save(folders[-1] / "a" / f"{place}.png", sets.picture(0, place, (side, side)))
        caches.append(opened(number, CacheRoom(1.0, tmp_path / "cache")))
        cache = PixelCache(caches[-1], images, 10**9)
        for place in range(images):
            cache.get(place, lambda: np.zeros((side, side, 3), np.uint8))
        os.utime(caches[-1], (number, number))
    room = CacheRoom(2.7 * size / 1e9, tmp_path / "cache")
    assert opened(2, room) == caches[2]
    assert [folder.exists() for folder in caches] == [False, True, True]
    assert opened(0, room) == caches[0]
    assert [folder.exists() for folder in caches] == [True, False, True]


def test_a_folder_that_cannot_be_written_means_no_cache(tmp_path):
    folder = sets.class_folders(tmp_path / "images", ["a", "b"], images=2)
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match=r"there is no cache of images, .*set L2O_CACHE"):
        assert open_cache(folder, CacheRoom(1.0, tmp_path / "file" / "cache")) is None


def test_it_lies_in_the_projects_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    assert CacheRoom(1.0).folder == Path(tmp_path) / "images"
