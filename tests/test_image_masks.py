"""Images with masks: exact labels, masks that move along, values that mean something."""

import image_sets as sets
import numpy as np
import pytest
import torch

from l2o.configs.schema import Named
from l2o.envs.tasks.images.augment import Normalise, training_transform
from l2o.envs.tasks.images.decoding import CorruptImageError
from l2o.envs.tasks.images.listing import list_images
from l2o.envs.tasks.images.masked_images import MaskedImages, MaskListing
from l2o.envs.tasks.images.masks import MaskCoding, coding_of
from l2o.envs.tasks.images.pairs import pair_by_stem
from l2o.envs.tasks.images.pixels import PixelReader

INPUTS = sets.INPUTS


def masked(folder, transform=None, coding=None, **options):
    coding = coding or coding_of("abc")
    pairs = pair_by_stem(folder, "images", "masks", coding)
    return MaskedImages(pairs, transform, Normalise(INPUTS), **options)


@pytest.mark.parametrize("palette", [False, True])
def test_masks_are_exact(tmp_path, palette):
    sets.folder_masks(tmp_path, palette=palette)
    data = masked(tmp_path)
    for number in range(4):
        pixels, labels = data[number]
        wanted = sets.mask_of((0, 1, 2, 255), number)
        assert np.array_equal(labels.numpy(), wanted)
        assert labels.dtype == torch.int64
        assert pixels.shape == (3, *wanted.shape)


@pytest.mark.parametrize(
    "named",
    [["flip"], ["crop"], ["flip_crop"], ["scale_crop_mirror"], ["scale_crop_mirror", "flip"]],
)
def test_masks_move_along(tmp_path, named):
    """In the miniature the image shows the mask's value: they must still agree afterwards."""
    sets.folder_masks(tmp_path, images=1, values=(0, 0, 100, 100))
    coding = MaskCoding({0: 0, 100: 1, 255: 255})
    data = masked(tmp_path, training_transform(named, INPUTS, masks=True), coding)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        pixels, labels = data[0]
        assert pixels.shape == (3, 16, 16)
        assert labels.shape == (16, 16)
        assert type(pixels) is type(labels) is torch.Tensor
        shown = ((pixels * 0.25 + 0.5)[1] * 255 > 70).long()
        counted = labels != 255
        assert float((shown == labels)[counted].float().mean()) > 0.75
        # Were the mask to stay where it is, half of the pixels would agree.
        seen.add(tuple(labels.flatten().tolist()))
    assert len(seen) > 1


def test_padding_counts_nowhere():
    transform = training_transform(
        [Named(name="scale_crop_mirror", options={"p": 0})], INPUTS, True
    )
    blank = torch.ones(4, 8, 10, dtype=torch.uint8)
    pixels, mask = transform(blank[:3], blank[3])
    assert set(mask.flatten().tolist()) == {1, 255}
    assert int((mask == 255).sum()) >= 256 - 10 * 13
    assert pixels[:, mask == 255].float().std() < 1.0
    assert mask[0, 0] == 1


def test_images_and_masks_are_shrunk_together_to_train_on(tmp_path):
    sets.folder_masks(tmp_path)
    pairs = pair_by_stem(tmp_path, "images", "masks", coding_of("abc"))
    reader = PixelReader(pairs.images.path, side=12)
    scored, trained = (
        MaskedImages(pairs, None, Normalise(INPUTS), reader=reader, fit=fit)[0]
        for fit in (False, True)
    )
    assert (scored[0].shape, scored[1].shape) == ((3, 12, 16), (24, 32)), "scored at full size"
    assert (trained[0].shape, trained[1].shape) == ((3, 12, 16), (12, 16))
    assert set(trained[1].flatten().tolist()) == {0, 1, 2, 255}


def test_unknown_masks_count_nowhere(tmp_path):
    sets.folder_masks(tmp_path, masks=False)
    listing = MaskListing(list_images(tmp_path / "images"), (), coding_of("abc"))
    pixels, labels = MaskedImages(listing, None, Normalise(INPUTS))[0]
    assert labels.shape == pixels.shape[1:]
    assert set(labels.flatten().tolist()) == {255}


def test_a_value_that_is_no_class_is_named(tmp_path):
    sets.folder_masks(tmp_path, images=1, values=(0, 1, 77))
    told = (
        r"masks/0.png has the value 77 at row 0, column 8, which is no class; values are 0, 1, 2, "
        r"255. Say what it means \(values=\{...\}\), or which value counts nowhere"
    )
    with pytest.raises(CorruptImageError, match=told):
        masked(tmp_path)[0]
    assert set(masked(tmp_path, coding=coding_of("abc", ignore=77))[0][1].flatten().tolist()) == {
        0, 1, 255,
    }  # fmt: skip


@pytest.mark.parametrize("values", [{-1: 0}, {0: 256}, {70_000: 0}])
def test_codings_that_are_none(values):
    with pytest.raises(ValueError, match="values maps"):
        MaskCoding(values)


def test_randaugment_moves_no_masks():
    with pytest.raises(ValueError, match="augmentation 'randaugment' moves no masks"):
        training_transform(["randaugment"], INPUTS, masks=True)
