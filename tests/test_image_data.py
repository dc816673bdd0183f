"""Data sets of image files: decoding, augmentations, images with classes and with masks."""

import warnings
from functools import partial

import image_sets as sets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from l2o.configs.schema import Named
from l2o.envs.networks.base import Inputs
from l2o.envs.tasks.base import Loading
from l2o.envs.tasks.images.augment import (
    AUGMENTATIONS,
    STILL,
    Normalise,
    chain,
    scoring_transform,
    short_side,
    training_transform,
)
from l2o.envs.tasks.images.decoding import (
    CorruptImageError,
    decode_first_channel,
    decode_labels,
    decode_rgb,
    read_size,
)
from l2o.envs.tasks.images.image_files import ImageFiles
from l2o.envs.tasks.images.listing import list_class_folders, list_images
from l2o.envs.tasks.images.pixels import PixelReader
from l2o.envs.tasks.loading import load_batches

INPUTS = sets.INPUTS
CPU = torch.device("cpu")


# Decoding ---------------------------------------------------------------------------------------


def in_mode(mode):
    pixels = sets.picture(2)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    if mode == "P with transparency":
        image = Image.fromarray(pixels).convert("P")
        image.info["transparency"] = bytes(range(256))
        return image
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    "mode", ["RGB", "L", "LA", "P", "RGBA", "I;16", "1", "P with transparency"]
)
def test_every_mode_becomes_rgb_of_8_bits(tmp_path, mode):
    in_mode(mode).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode_rgb(str(tmp_path / "x.png"))
    assert (pixels.shape, pixels.dtype) == ((sets.SIZE, sets.SIZE, 3), np.uint8)
    if mode != "1":
        assert abs(float(pixels.mean()) - sets.grey_of(2)) < 8


def test_cmyk_becomes_rgb(tmp_path):
    in_mode("CMYK").save(tmp_path / "x.jpg")
    assert abs(float(decode_rgb(str(tmp_path / "x.jpg")).mean()) - sets.grey_of(2)) < 8


def test_photographs_are_turned_as_their_tag_says(tmp_path):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    path = tmp_path / "x.jpg"
    Image.fromarray(np.rot90(upright).copy()).save(path, exif=exif, quality=95)
    pixels = decode_rgb(str(path))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 8
    assert read_size(str(path)) == (8, 16)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_sizes_are_read_from_the_beginnings(tmp_path, suffix):
    Image.new("RGB", (7, 5)).save(tmp_path / f"x{suffix}")
    assert read_size(str(tmp_path / f"x{suffix}")) == (5, 7)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "x.png is missing; replace or remove it, or go on without it: on_corrupt=skip"),
        (b"", "x.png is no image, or a damaged one"),
        (b"hello", "x.png is no image, or a damaged one"),
        ("half", r"x.png cannot be read \("),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, told):
    path = tmp_path / "x.png"
    sets.save(path, sets.picture(0))
    if content is None:
        path.unlink()
    elif content == "half":
        sets.corrupt(path)
    else:
        path.write_bytes(content)
    for decode in (decode_rgb, decode_labels):
        with pytest.raises(CorruptImageError, match=told):
            decode(str(path))
    with pytest.raises(CorruptImageError, match=r"x\.png"):
        decode_first_channel(str(path))


def test_masks_are_read_as_numbers(tmp_path):
    mask = sets.mask_of((0, 5, 200), 0).astype(np.uint8)
    for palette in (False, True):
        sets.save_mask(tmp_path / "m.png", mask, palette)
        assert np.array_equal(decode_labels(str(tmp_path / "m.png")), mask)
    deep = mask.astype(np.uint16) * 300
    Image.fromarray(deep).save(tmp_path / "m.png")
    assert np.array_equal(decode_labels(str(tmp_path / "m.png")), deep)
    sets.save(tmp_path / "m.png", sets.picture(0))
    with pytest.raises(CorruptImageError, match=r"is in colour \(RGB\), so it has no label per"):
        decode_labels(str(tmp_path / "m.png"))


def test_pngs_of_16_bits_in_colour_are_read_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**16, (11, 7, 3)).astype(np.uint16)
    (tmp_path / "m.png").write_bytes(sets.png_of_16_bits(pixels))
    assert np.array_equal(decode_first_channel(str(tmp_path / "m.png")), pixels[:, :, 0])
    sets.save(tmp_path / "m.png", sets.picture(1))
    assert np.array_equal(decode_first_channel(str(tmp_path / "m.png")), sets.picture(1)[:, :, 0])
    sets.save_mask(tmp_path / "m.png", sets.mask_of((0, 3), 0).astype(np.uint8))
    assert np.array_equal(decode_first_channel(str(tmp_path / "m.png")), sets.mask_of((0, 3), 0))


# Augmentations ----------------------------------------------------------------------------------


def image(height=20, width=30):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_gives_the_networks_size_and_draws_from_torch(name):
    transform = training_transform([name], INPUTS)
    for size in ((20, 30), (9, 7), (16, 16)):
        pixels = image(*size)
        before = pixels.clone()
        results = []
        for seed in (0, 0, *range(1, 12)):
            torch.manual_seed(seed)
            results.append(transform(pixels))
        assert torch.equal(pixels, before), "what was read must stay as it is"
        assert all(r.shape == (3, 16, 16) and r.dtype == torch.uint8 for r in results)
        assert torch.equal(results[0], results[1])
        if name not in STILL and size == (20, 30):
            assert any(not torch.equal(results[0], other) for other in results[2:])


def test_augmentations_compose_in_order_with_options():
    named = ["crop", Named(name="flip", options={"p": 1.0}), "colour_jitter"]
    assert training_transform(named, INPUTS)(image()).shape == (3, 16, 16)
    flipped = training_transform([Named(name="flip", options={"p": 1.0})], INPUTS)
    pixels = image(20, 20)
    assert torch.equal(flipped(pixels), scoring_transform(INPUTS)(pixels).flip(-1))
    whole = Named(name="crop", options={"scale": [1.0, 1.0], "ratio": [1.0, 1.0]})
    assert torch.equal(
        training_transform([whole], INPUTS)(image(16, 16)[:, :, :]).shape
        and training_transform([whole], INPUTS)(pixels[:, :16, :16]),
        pixels[:, :16, :16],
    )


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("flop", "unknown augmentation 'flop'. Did you mean 'flip'"),
        (Named(name="flip", options={"q": 1}), "augmentation 'flip' has no option 'q'"),
        (Named(name="flip", options={"p": 2}), r"flip: p=2 must be in \[0, 1\]"),
        (Named(name="crop", options={"scale": [2, 1]}), "crop: scale=.* the smaller first"),
        (Named(name="randaugment", options={"magnitude": 40}), "the magnitude is 0 to 30"),
        (Named(name="colour_jitter", options={"hue": 1}), "hue=1 must be in"),
        (Named(name="scale_crop_mirror", options={"scales": [0]}), "numbers above 0"),
        (Named(name="scale_crop_mirror", options={"crop": [4]}), "height and width"),
    ],
)
def test_wrong_augmentations_are_refused(named, told):
    with pytest.raises(ValueError, match=told):
        training_transform([named], INPUTS)


def test_scoring_is_what_the_network_was_pretrained_with():
    """Against the transforms that torchvision's own weights come with."""
    from torchvision.transforms import v2

    inputs = Inputs(size=(24, 24), crop_share=0.75, interpolation="bicubic")
    assert short_side(inputs) == 32
    reference = v2.Compose(
        [
            v2.Resize(32, v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(24),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(inputs.mean, inputs.std),
        ]
    )
    pixels = image(50, 40)
    ours = chain(scoring_transform(inputs), Normalise(inputs))(pixels)
    torch.testing.assert_close(ours, reference(pixels), atol=1e-5, rtol=1e-5)
    assert ours.is_contiguous()


def test_whole_numbers_and_floats_agree_on_size():
    for share in (0.875, 0.9, 0.95, 1.0):
        inputs = Inputs(size=(15, 17), crop_share=share)
        assert scoring_transform(inputs)(image(40, 18)).shape == (3, 15, 17)


# Images -----------------------------------------------------------------------------------------


def data_of(folder, **options):
    listing = list_class_folders(folder)
    return ImageFiles(listing, chain(scoring_transform(INPUTS), Normalise(INPUTS)), **options)


def test_images_are_what_their_files_hold(tmp_path):
    data = data_of(sets.class_folders(tmp_path, ["a", "b"], images=3))
    assert len(data) == 6
    for index in range(6):
        pixels, label = data[index]
        assert label == index // 3
        wanted = (sets.grey_of(label) / 255 - 0.5) / 0.25
        assert float(pixels.mean()) == pytest.approx(wanted, abs=0.03)
        assert (pixels.dtype, pixels.shape) == (torch.float32, (3, 16, 16))
    assert torch.equal(data[-1][0], data[5][0])
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="there is no example"):
            data[wrong]


def test_unknown_classes_are_minus_one(tmp_path):
    listing = list_images(sets.flat(tmp_path))
    assert ImageFiles(listing, scoring_transform(INPUTS))[0][1] == -1


def test_numbers_must_fit(tmp_path):
    sets.class_folders(tmp_path, ["a", "b"], images=3)
    with pytest.raises(ValueError, match="2 numbers but 6 images"):
        data_of(tmp_path, numbers=np.arange(2))
    with pytest.raises(ValueError, match="on_corrupt='ignore' is neither"):
        data_of(tmp_path, on_corrupt="ignore")


def test_a_corrupt_image_is_named_or_replaced_and_counted(tmp_path):
    sets.class_folders(tmp_path, ["a", "b"], images=3)
    for name in ("a/1.png", "a/2.png"):
        sets.corrupt(tmp_path / name)
    with pytest.raises(CorruptImageError, match=r"a/1.png cannot be read .*on_corrupt=skip"):
        data_of(tmp_path)[1]
    data = data_of(tmp_path, on_corrupt="skip")
    with pytest.warns(UserWarning, match=r"a/1.png cannot .* The next image takes its place"):
        pixels, label = data[1]
    assert label == 1
    assert torch.equal(pixels, data[3][0])
    assert data.corrupt == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data[2][1] == 1
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="takes its place"),
        pytest.raises(CorruptImageError, match="not one image of the data set can be read"),
    ):
        data_of(tmp_path, on_corrupt="skip")[0]


def test_what_workers_find_is_counted_too(tmp_path):
    sets.class_folders(tmp_path, ["a", "b"], images=4)
    sets.corrupt(tmp_path / "a/1.png")
    data = data_of(tmp_path, on_corrupt="skip")
    loader = DataLoader(data, batch_size=2, num_workers=2)
    assert sum(len(labels) for _, labels in loader) == 8
    assert data.corrupt == 1


def test_workers_change_nothing(tmp_path):
    sets.class_folders(tmp_path, ["a", "b"], images=4)
    transform = chain(training_transform(["flip_crop", "colour_jitter"], INPUTS), Normalise(INPUTS))
    data = ImageFiles(list_class_folders(tmp_path), transform)
    orders = [torch.tensor([0, 5, 2]), torch.tensor([7, 1, 0])]
    runs = [list(load_batches(data, orders, Loading(workers=w), CPU, seed=3)) for w in (0, 2)]
    for (one, labels), (other, same) in zip(*runs, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(labels, same)
    assert not torch.equal(runs[0][0][0][0], runs[0][1][0][2]), "drawn anew each time"


def test_large_images_are_shrunk_small_ones_stay(tmp_path):
    sets.save(tmp_path / "large.png", sets.picture(1, size=(90, 60)))
    sets.save(tmp_path / "small.png", sets.picture(1, size=(10, 12)))
    listing = list_images(tmp_path)
    reader = PixelReader(listing.path, side=20)
    assert reader.read(0).shape == (3, 30, 20)
    assert torch.equal(reader.read(1), PixelReader(listing.path).read(1))


def test_data_sets_can_be_passed_to_processes(tmp_path):
    import pickle

    data = data_of(sets.class_folders(tmp_path, ["a", "b"], images=2))
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[1][0], data[1][0])
    assert partial(again.__getitem__, 0)()[1] == 0


def test_a_default_device_or_type_of_the_users_changes_nothing(tmp_path):
    data = data_of(sets.class_folders(tmp_path, ["a", "b"], images=2), on_corrupt="skip")
    wanted = data[0][0]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            again = data_of(tmp_path, on_corrupt="skip")[0][0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(again, wanted)
