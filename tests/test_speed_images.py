"""`l2o speed images`: equal work, figures, files; the times themselves are not tested."""

import json
import os

import pytest
import torch
from commands import run, succeed

from l2o.benchmarks.speed import images
from l2o.benchmarks.speed.images import BareImages, Images, Pace, Start, drawn_images, link_images
from l2o.envs.runtime.executor import Here

SMALL = Images(images=16, size=16, batch_size=4)


def test_measures_and_writes(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "Processes", Here)
    before = os.environ.get("L2O_CACHE")
    path = tmp_path / "images.json"
    printed = succeed("speed", "images", "--quick", "--json", path)
    results = json.loads(path.read_text())
    assert (results["benchmark"], results["quick"], results["images"]) == ("images", True, 32)
    names = [row["name"] for row in results["rows"]]
    assert names == [images.BARE, images.CONSTANT, images.POLICED, images.CACHED, images.PLAIN]
    assert all(row["images_per_second"] > 0 for row in results["rows"])
    assert all(len(row["seconds"]) == row["steps"] == 1 for row in results["rows"])
    assert results["rows"][0]["ratio"] == 1.0
    assert [start["images"] for start in results["starts"]] == [10, 100]
    assert all(
        len(start[key]) == 1 for start in results["starts"] for key in ("loading", "seconds")
    )
    figures = [row["figure"] for row in results["figures"]]
    assert len(figures) == 3 + 1 + bool(results["starts"][0]["peaks"])
    assert figures[3] == "seconds to the first step, 100 images"
    assert results["machine"]["threads_per_process"] == 1
    assert "fine-tune, asg-base" in printed
    assert "| fine-tune, asg-base |" in succeed("speed", "page", path)
    assert os.environ.get("L2O_CACHE") == before


def test_the_bare_loop_does_the_same_work():
    """Given the same batches it has the same weights after the same steps."""
    with drawn_images(16) as folder:
        task = SMALL.task(folder / "few", cache=False)
        tune = SMALL.fine_tune(task, steps=3)
        bare = BareImages(task, torch.device("cpu"), "float32", steps=3)
        bare.batches = ((images, labels) for images, labels, _ in tune._read_on())
        bare.run(3)
        tune.advance(3)
        for one, other in zip(bare.model.parameters(), tune.model.parameters(), strict=True):
            torch.testing.assert_close(one, other)


def test_the_bare_loop_reads_the_same_data_in_batches_of_the_same_size():
    with drawn_images(16) as folder:
        task = SMALL.task(folder / "few", cache=False)
        bare = BareImages(task, torch.device("cpu"), "float32", steps=5)
        found = list(bare.batches)
    assert [tuple(images.shape) for images, _ in found] == [(4, 3, 16, 16)] * 5


def test_without_the_frozen_network_it_is_plain_fine_tuning():
    with drawn_images(16) as folder:
        task = SMALL.task(folder / "few", cache=False)
        bare = BareImages(task, torch.device("cpu"), "float32", steps=1, frozen=False)
        pictures, labels = next(bare.batches)
        loss = bare._loss(pictures, labels)
    expected = torch.nn.functional.cross_entropy(bare.model(pictures), labels)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("linked", [True, False])
def test_many_images_are_links_or_copies(monkeypatch, tmp_path, linked):
    few = tmp_path / "few" / "class0"
    few.mkdir(parents=True)
    (few / "000000.jpg").write_bytes(b"one")
    if not linked:

        def refuse(self, target):
            raise OSError("no links here")

        monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    link_images(tmp_path / "few", tmp_path / "many", 9)
    found = sorted((tmp_path / "many").glob("*/*.jpg"))
    assert len(found) == 9
    assert {path.read_bytes() for path in found} == {b"one"}
    assert {path.parent.name for path in found} == {f"class{number}" for number in range(4)}
    assert found[0].stat().st_nlink == (10 if linked else 1)


def test_figures():
    named = {images.BARE: 1.0, images.CONSTANT: 0.96, images.POLICED: 0.9, images.CACHED: 1.6}
    rows = [Pace(name, 100 * ratio, ratio, 10, [1.0]) for name, ratio in named.items()]
    held = [figure.holds for figure in images._pace_figures(rows)]
    assert held == [True, False, True]
    many = Start(110, [20.0] * 3, [11.0, 9.0, 9.5], [10**6 + 50_000])
    starts = [Start(10, [2.0], [1.0], [10**6]), many]
    took, memory = images._start_figures(starts)
    assert (took.value, took.holds) == (9.5, True)
    assert (memory.value, memory.holds) == (0.5, True)
    unknown = [Start(10, [2.0], [1.0], []), Start(100, [2.0], [10.5], [])]
    assert [figure.holds for figure in images._start_figures(unknown)] == [False]


def test_the_images_are_photographs_as_far_as_their_files_go():
    picture = images.draw_image(torch.Generator().manual_seed(0))
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == torch.uint8
    assert 0.2 < picture.float().std() / 128 < 0.8


def test_too_few_images_are_refused():
    ended = run("speed", "images", "--images", "3")
    assert ended.exit_code == 2
    assert "16" in ended.stderr
