"""The garments family: drawn source, photographs as the target, and who may use it."""

import gzip
import pickle

import numpy as np
import pytest
import torch
from garments_cases import SIZES, SMALL, SmallGarments, few_photographs, write_photographs

from l2o.configs.load import load_config
from l2o.configs.schema import FineTuning, TrainConfig
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.networks.base import Inputs
from l2o.envs.simulators.garments import CLASSES
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.garments import GarmentsFamily, fetch_photographs, photographs
from l2o.envs.tasks.garments.data import ByteImages
from l2o.envs.tasks.garments.options import WEIGHTS, GarmentsOptions
from l2o.files.atomic import DamagedFileError
from l2o.policies.train import train

SPLITS = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")


@pytest.fixture(autouse=True)
def folder(tmp_path_factory, monkeypatch):
    """Photographs that tell where they are from, where Debian's would lie."""
    found = tmp_path_factory.mktemp("photographs")
    write_photographs(found)
    few_photographs(monkeypatch, found)
    yield found
    photographs.load_photographs.cache_clear()


def numbers(data):
    """Return the files and numbers of a split's photographs."""
    return data.images[:, 0, :2].tolist()


# --- the task


def test_a_task_is_a_pure_function_of_its_seed():
    one, two, other = (SmallGarments(**SMALL).sample(seed) for seed in (3, 3, 4))
    for split in SPLITS:
        mine, theirs, others = (getattr(task, split) for task in (one, two, other))
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        assert not torch.equal(mine.images, others.images)
    mine, theirs = (task.build_model().state_dict() for task in (one, two))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_splits_are_of_the_sizes_asked_for_and_share_nothing():
    task = SmallGarments(**SMALL).sample(0)
    assert [len(getattr(task, split)) for split in SPLITS] == [40, 20, 30, 25, 14]
    assert {file for file, _ in numbers(task.target_test)} == {2}
    validation = numbers(task.target_validation)
    assert {file for file, _ in validation} == {1}
    assert max(number for _, number in validation) < 50
    garments = task.proxy_test.images[7:, 0, 0, :2].tolist()
    assert all(file == 1 and number >= 50 for file, number in garments)
    for split in (task.target_test, task.target_validation):
        assert len({tuple(each) for each in numbers(split)}) == len(split)
    one, other = (
        set(map(bytes, each.images.numpy()))
        for each in (
            task.source_train,
            task.source_validation,
        )
    )
    assert not one & other


def test_what_a_task_tells():
    task = SmallGarments(**SMALL).sample(0)
    assert task.classes == tuple(CLASSES)
    assert (task.steps, task.batch_size, task.num_classes) == (4, 8, 10)
    assert task.batch_norm == "frozen"
    assert task.proxy_answers
    assert not task.in_memory
    assert task.network.name == "tests:small"
    counts = torch.bincount(task.source_train.labels, minlength=10)
    assert counts.tolist() == [4] * 10
    assert task.description["psi"]["tilt"] == 3.0


def test_examples_are_normalised_as_the_network_takes_them():
    family = SmallGarments(**SMALL | {"size": 56})
    task = family.sample(0)
    image, label = task.target_test[0]
    assert image.shape == (3, 56, 56)
    assert label == task.target_test.labels[0]
    pixels = image * torch.tensor([0.5, 0.5, 0.25]).view(3, 1, 1)
    pixels += torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)
    wanted = torch.full((3,), 200 / 255)
    torch.testing.assert_close(pixels[:, 30, 30], wanted)
    torch.testing.assert_close(pixels[:, 50, 50], torch.zeros(3), atol=1e-6, rtol=0)
    natural = task.proxy_test.images[:7].float()
    assert natural.std(dim=(1, 2, 3)).min() > 10


def test_the_network_is_fine_tuned_and_scored():
    task = SmallGarments(**SMALL).sample(0)
    run = FineTune(task, FineTuning(guidance={"proxy_kl": {"weight": 0.3}}, interval=2))
    run.advance(run.steps)
    assert 0 <= run.scores("target_test")["accuracy"] <= 1
    assert np.isfinite(run.last_loss)
    assert np.isfinite(run.last_proxy_kl)


@pytest.mark.parametrize("segmentation", [False, True])
def test_a_network_of_imagenet(segmentation):
    few = {"source_images": 8, "source_validation_images": 4, "target_test_images": 4}
    # At 32 its last map is a single place, which no head for pixels takes.
    size = 64 if segmentation else 32
    options = {**SMALL, **few, "size": size, "proxy_test_images": 6, "steps": 1}
    task = GarmentsFamily(**options, segmentation=segmentation).sample(0)
    assert task.network.proxy_classes == 1000
    run = FineTune(task, FineTuning(guidance={"proxy_kl": {}}, interval=1, channels_last=True))
    assert run.proxy_scores()["accuracy"] == 1.0
    run.advance(1)
    assert run.last_proxy_kl == pytest.approx(0.0, abs=1e-4)
    assert np.isfinite(run.scores("target_test")["loss"])


def test_weights_are_those_of_the_network_asked_for():
    def weights(**fields):
        return GarmentsFamily(**SMALL, **fields).options.find_weights()

    assert weights() == WEIGHTS
    assert weights(network="timm:resnet18") is None
    assert weights(pretrained=False) is None
    assert weights(network="timm:resnet18", weights="mine.pt") == "mine.pt"


def test_the_parameters_of_the_drawing_may_be_chosen():
    plain = SmallGarments(**SMALL).sample(0).source_train.images
    tilted = SmallGarments(**SMALL, psi={"tilt": 45.0}).sample(0).source_train.images
    assert not torch.equal(plain, tilted)
    with pytest.raises(ValueError, match=r"'tlit'.*'tilt'"):
        SmallGarments(**SMALL, psi={"tlit": 45.0})


def test_drawings_are_kept(monkeypatch):
    family = SmallGarments(**SMALL)
    first = family.sample(5).source_train.images
    monkeypatch.setattr(type(family.simulator), "render", None)
    assert torch.equal(SmallGarments(**SMALL).sample(5).source_train.images, first)
    with pytest.raises(TypeError):
        SmallGarments(**SMALL).sample(6)


# --- segmentation


def test_segmentation_tells_garment_from_ground():
    task = SmallGarments(**SMALL | {"size": 56}, segmentation=True).sample(0)
    assert task.objective == "segmentation"
    assert task.proxy_objective == "classification"
    assert task.classes == ("ground", "garment")
    image, mask = task.target_test[1]
    assert image.shape[1:] == mask.shape == (56, 56)
    wanted = (task.target_test.images[1] > 0).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(mask, wanted.long())
    run = FineTune(task, FineTuning(guidance={}, interval=2))
    run.advance(run.steps)
    assert 0 <= run.scores("target_test")["miou"] <= 1


# --- who may use it


def test_no_policy_is_trained_on_garments(tmp_path):
    with pytest.raises(ValueError, match=r"nothing is trained on.*heldout"):
        GarmentsFamily(split="train")
    for options in (SMALL, {**SMALL, "split": "heldout"}):
        config = TrainConfig(task={"name": "garments", "options": options})
        with pytest.raises(ValueError, match=r"'garments': .*train on digits"):
            train(config, tmp_path / "run", progress=False)


def test_every_other_family_may_be_trained_on():
    assert [name for name in TASKS if TASKS[name].held_out_because] == ["garments"]


@pytest.mark.parametrize("kind", ["benchmark", "finetune"])
def test_presets_name_the_family(kind, monkeypatch):
    monkeypatch.undo()
    config = load_config(kind, "garments")
    assert config.task.name == "garments"
    assert GarmentsFamily(**config.task.options).split == "heldout"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "hledout"}, "unknown split 'hledout'"),
        ({"size": 8}, "size=8"),
        ({"source_images": 0}, "source_images=0"),
        ({"source_validation_images": 2.5}, "source_validation_images=2.5"),
        ({"target_test_images": 61}, r"target_test_images=61 .*\[1, 60\]"),
        ({"target_validation_images": 51}, "target_validation_images=51"),
        ({"proxy_test_images": 41}, "proxy_test_images=41"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"steps": 0}, "steps=0"),
        ({"base_lr": 0.0}, "base_lr=0"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        GarmentsFamily(**SMALL | wrong)


def test_options_are_given_once():
    options = GarmentsOptions(**SMALL)
    assert GarmentsFamily(options).options == GarmentsFamily(**SMALL).options
    with pytest.raises(TypeError, match="size"):
        GarmentsFamily(options, size=32)
    with pytest.raises(ValueError, match="seed=-1"):
        SmallGarments(**SMALL).sample(-1)


# --- the photographs


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("within", [".", "FashionMNIST/raw"])
def test_photographs_are_found_below_a_root(tmp_path, compressed, within):
    write_photographs(tmp_path / within, compressed)
    found = photographs.load_photographs("train", str(tmp_path))
    assert found.images.shape == (90, 28, 28)
    assert found.images[77, 0, :2].tolist() == [1, 77]
    assert found.labels[13] == 3
    assert fetch_photographs(str(tmp_path)) == tmp_path / within


def test_photographs_that_are_missing_say_how_to_get_them(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"apt install dataset-fashion-mnist.*make real"):
        SmallGarments(**SMALL, root=str(tmp_path / "nothing")).sample(0)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz"):
        SmallGarments(**SMALL).sample(0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"<html>" + content[6:],
        lambda content: gzip.compress(gzip.decompress(content)[:-1]),
        lambda content: gzip.compress(b"\0\0\x08\x01" + gzip.decompress(content)[4:]),
        lambda content: gzip.compress(b""),
    ],
)
def test_damaged_files_are_refused(folder, damage):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=r"train-images.*again"):
        SmallGarments(**SMALL).sample(0)


def test_parts_of_the_photographs_share_nothing(monkeypatch):
    monkeypatch.undo()
    taken = {}
    for split, (file, within) in photographs.PARTS.items():
        assert within.stop <= photographs.SIZES[file]
        assert (split == "target_test") == (file == "t10k")
        for other in taken.get(file, []):
            assert within.start >= other.stop or other.start >= within.stop
        taken.setdefault(file, []).append(within)
    assert SIZES.keys() == photographs.SIZES.keys() == taken.keys()


# --- images as bytes


def test_images_as_bytes_are_a_data_set():
    grey = torch.arange(2 * 4 * 4, dtype=torch.uint8).view(2, 4, 4)
    inputs = Inputs(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    data = pickle.loads(pickle.dumps(ByteImages(grey, torch.tensor([3, 4]), 4, inputs)))
    assert len(data) == 2
    image, label = data[-1]
    torch.testing.assert_close(image, (grey[1].float() / 255).expand(3, -1, -1))
    assert label == 4
    with pytest.raises(IndexError, match="no example 2 of 2"):
        data[2]
    with pytest.raises(ValueError, match="2 images but 1 labels"):
        ByteImages(grey, torch.zeros(1).long(), 4, inputs)
