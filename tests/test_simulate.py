"""`l2o simulate`: what it writes, that it goes on, what it refuses, and who reads it."""

import csv
import re

import numpy as np
import pytest
from commands import run
from PIL import Image

from l2o.configs.load import load_config
from l2o.envs.simulators import SIMULATORS
from l2o.envs.tasks import FolderFamily
from l2o.service.simulating import draw_data_set, psi_of

DIGITS = ["digits", "images=30", "workers=1", "simulator.options.size=16"]


def simulate(out, *more):
    return run("simulate", *DIGITS, *more, "--out", out)


def rows(out):
    with (out / "psi.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("renders") / "digits"
    done = simulate(out, "randomize=true", "ranges.rotation=[0, 5]", "psi.ground=stripes")
    assert done.exit_code == 0, done.stderr
    return out


def test_images_masks_and_the_psi_of_each(drawn):
    told = rows(drawn)
    assert len(told) == 30
    simulator = SIMULATORS["digits"](16)
    psi = psi_of(load_config("simulate", drawn / "config.yaml"), simulator)
    rendered = simulator.render(psi, 30, seed=0)
    for number, row in enumerate(told):
        assert row["class"] == str(rendered.labels[number])
        image = np.asarray(Image.open(drawn / "images" / row["image"]))
        assert np.array_equal(image, rendered.images[number])
        mask = np.asarray(Image.open(drawn / "masks" / row["image"]))
        assert np.array_equal(mask, rendered.masks[number])
        assert row["ground"] == "stripes"
        assert 0 <= float(row["rotation"]) <= 5
    assert len({row["noise"] for row in told}) == 30
    assert np.asarray(Image.open(drawn / "contact_sheet.png")).shape == (160, 48, 3)


def test_a_fine_tune_reads_it(drawn):
    images = drawn / "images"
    family = FolderFamily(source=str(images), target=str(images), network="timm:resnet18")
    found = family.find()
    assert list(found.classes) == [str(digit) for digit in range(10)]


def test_it_goes_on_and_grows_with_the_same_bits(drawn, tmp_path):
    out = tmp_path / "grown"
    assert (
        simulate(
            out, "randomize=true", "ranges.rotation=[0, 5]", "psi.ground=stripes", "images=12"
        ).exit_code
        == 0
    )
    (out / "psi.csv").unlink()
    lost = out / "images" / rows(drawn)[3]["image"]
    lost.unlink()
    refused = simulate(out)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    again = ["randomize=true", "ranges.rotation=[0, 5]", "psi.ground=stripes", "--resume"]
    assert simulate(out, *again).exit_code == 0
    assert (out / "psi.csv").read_bytes() == (drawn / "psi.csv").read_bytes()
    for row in rows(drawn):
        mine, other = (folder / "images" / row["image"] for folder in (out, drawn))
        assert mine.read_bytes() == other.read_bytes()
    other = simulate(out, "seed=1", "--resume")
    assert other.exit_code == 2
    assert "seed" in other.stderr


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["psi.tlt=3"], "unknown parameter 'tlt'"),
        (["psi.rotation=99"], r"rotation=99\.0 is no number within \[0\.0, 60\.0\]"),
        (["ranges.rotation=[0, 5]"], "set randomize=true"),
        (["randomize=true", "ranges.rotation=[5, 0]"], "must ascend"),
        (["randomize=true", "psi.noise=0.1", "ranges.noise=[0, 0.1]"], "in psi and in ranges"),
        (["simulator.name=digit"], "Did you mean 'digits'"),
        (["images=0"], "images"),
    ],
)
def test_what_is_refused_is_refused_before_any_work(tmp_path, fields, told):
    done = simulate(tmp_path / "none", *fields)
    assert done.exit_code == 2
    assert re.search(told, done.stderr)
    assert not (tmp_path / "none" / "images").exists()


def test_a_class_that_cannot_be_seen_is_named(tmp_path, monkeypatch):
    simulator = SIMULATORS["digits"]
    blank = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    monkeypatch.setattr(simulator, "draw", lambda *given: blank)
    config = load_config("simulate", "digits", DIGITS[1:])
    with pytest.raises(ValueError, match=r"of class '\d' shows nothing at psi=\{fonts: 4"):
        draw_data_set(config, tmp_path)
