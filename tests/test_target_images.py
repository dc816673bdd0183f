"""Target images without labels: apart from all that scores, and what scores stays as it was."""

import image_sets as sets
import pytest
import torch
from image_families import FAMILIES, make, paths_of

from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.garments import GarmentsFamily


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """A cache of each test's own, and the tiny network."""
    monkeypatch.setenv("L2O_CACHE", str(tmp_path_factory.mktemp("cache")))
    sets.use_tiny_network(monkeypatch)


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", FAMILIES)
def test_images_to_adapt_to_are_apart_from_all_that_scores(name, tmp_path):
    family = make(name, tmp_path, unlabelled=0.5)
    task = family.sample(0)
    own = set(paths_of(task.target_train.still))
    assert own
    for split in ("target_test", "target_validation"):
        assert not own & set(paths_of(getattr(task, split)))
    _, label = task.target_train.train[0]
    assert (torch.as_tensor(label) == (255 if family.masks else -1)).all()
    assert paths_of(task.target_train.train) == paths_of(task.target_train.still)


def test_a_folder_of_its_own_whose_folders_are_no_labels(tmp_path):
    photos = sets.class_folders(tmp_path / "more", ["a", "b"], start=80)
    with pytest.warns(UserWarning, match="not taken as labels"):
        task = make("folder", tmp_path, unlabelled=str(photos)).sample(0)
    assert len(task.target_train) == sum(1 for _ in photos.rglob("*.*"))
    assert int(task.target_train.still[0][1]) == -1
    with pytest.raises(ValueError, match="are among those that score"):
        make("folder", tmp_path / "again", unlabelled=str(tmp_path / "again/photos")).sample(0)
    with pytest.raises(ValueError, match="no labelled image of the target"):
        make("folder", tmp_path / "third", unlabelled=1.0).sample(0)
    with pytest.raises(ValueError, match="does not exist"):
        make("folder", tmp_path / "fourth", unlabelled=str(tmp_path / "nowhere")).sample(0)


def test_masks_in_memory_move_along(tmp_path):
    task = make("folder_masks", tmp_path, unlabelled=0.5).sample(0)
    data = task.target_train.train
    masks = [torch.full((4, 4), 1, dtype=torch.uint8) for _ in range(len(data))]
    image, mask = data.relabelled(masks)[0]
    assert mask.shape == image.shape[-2:]
    assert set(mask.unique().tolist()) <= {1, 255}


def test_digits_to_adapt_to_leave_what_scores_as_it_was(monkeypatch):
    monkeypatch.undo()
    plain = DigitsFamily(split="heldout", networks=1).sample(1)
    task = DigitsFamily(split="heldout", networks=1, target_train_images=200).sample(1)
    assert plain.target_train is None
    assert torch.equal(plain.target_test.images, task.target_test.images)
    assert torch.equal(plain.source_train.images, task.source_train.images)
    assert len(task.target_train) == 200
    assert task.target_train.labelled


def test_garments_to_adapt_to_are_other_photographs():
    with pytest.raises(ValueError, match="target_train_images"):
        GarmentsFamily(target_train_images=49_900)
