"""RandAugment: each operation's exact numbers, and what is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from l2o.guidance import RandAugment
from l2o.guidance.augment import OPERATIONS, apply_operations

SQUARE = torch.tensor([[0.0, 0.2], [0.5, 1.0]], dtype=torch.float64)


def apply(name: str, strength: float, image: Tensor = SQUARE) -> Tensor:
    images = image.expand(1, 1, *image.shape) if image.dim() == 2 else image[None]
    choice = torch.tensor([OPERATIONS.index(name)])
    return apply_operations(images, choice, torch.tensor([strength], dtype=image.dtype))[0]


@pytest.mark.parametrize(
    ("name", "strength", "wanted"),
    [
        ("identity", 1.0, [0.0, 0.2, 0.5, 1.0]),
        ("brightness", 0.5, [0.0, 0.29, 0.725, 1.0]),
        ("brightness", -1.0, [0.0, 0.02, 0.05, 0.1]),
        ("contrast", -0.5, [0.19125, 0.30125, 0.46625, 0.74125]),
        ("saturation", 0.7, [0.0, 0.2, 0.5, 1.0]),
        ("solarize", -0.6, [0.0, 0.2, 0.5, 0.0]),
        ("posterize", 1.0, [0.0, 48 / 255, 112 / 255, 240 / 255]),
        ("autocontrast", 0.1, [0.0, 0.2, 0.5, 1.0]),
    ],
)
def test_photometric_numbers(name: str, strength: float, wanted: list[float]) -> None:
    assert apply(name, strength).flatten().tolist() == pytest.approx(wanted, abs=1e-12)


def test_saturation_and_autocontrast_of_colours() -> None:
    pixel = torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64).view(3, 1, 1)
    assert apply("saturation", -0.5, pixel).flatten().tolist() == pytest.approx([0.29, 0.4, 0.51])
    channels = torch.stack([SQUARE / 2 + 0.1, torch.full_like(SQUARE, 0.3)])
    stretched = apply("autocontrast", 1.0, channels)
    torch.testing.assert_close(stretched, torch.stack([SQUARE, channels[1]]))


def test_translation_shifts_and_repeats_the_border() -> None:
    row = torch.arange(6, dtype=torch.float64).div(10).expand(6, 6)
    moved = apply("translate_x", 0.5, row)[0, 0]
    shift = 0.5 * 0.33 * 6
    wanted = [min(i + shift, 5.0) / 10 for i in range(6)]
    assert moved.tolist() == pytest.approx(wanted, abs=1e-9)
    assert apply("translate_y", 0.5, row)[0, 0].tolist() == pytest.approx(row[0].tolist())
    column = apply("translate_y", -0.5, row.T)[0, :, 0]
    assert column.tolist() == pytest.approx([max(i - shift, 0.0) / 10 for i in range(6)], abs=1e-9)


def test_rotation_and_shear_leave_the_centre() -> None:
    image = torch.zeros(5, 5, dtype=torch.float64)
    image[2, 2] = 1.0
    for name in ("rotate", "shear_x", "shear_y"):
        moved = apply(name, 1.0, image)[0]
        assert moved[2, 2].item() == pytest.approx(1.0)
    line = torch.zeros(5, 5, dtype=torch.float64)
    line[:, 2] = 1.0
    torch.testing.assert_close(apply("shear_y", 1.0, line)[0], line)
    # Row r comes from x + 0.3 · y: two rows above the middle the line lies 0.6 pixels to the right.
    sheared = apply("shear_x", 1.0, line)[0]
    assert sheared[0].tolist() == pytest.approx([0.0, 0.0, 0.4, 0.6, 0.0], abs=1e-9)


def test_draws() -> None:
    images = torch.rand(200, 3, 8, 8)
    torch.manual_seed(0)
    one = RandAugment(2, 5)(images)
    torch.manual_seed(0)
    assert torch.equal(one, RandAugment(2, 5)(images))
    torch.manual_seed(0)
    signed = RandAugment(2, 5, low=-1.0)(2 * images - 1)
    torch.testing.assert_close((signed + 1) / 2, one, atol=0.02, rtol=0)
    assert not torch.equal(one, RandAugment(2, 5)(images))
    assert one.min() >= 0.0
    assert one.max() <= 1.0
    assert torch.equal(RandAugment(0)(images), images)
    changed = (RandAugment(1, 9)(images) != images).flatten(1).any(1).float().mean()
    assert 0.7 < changed < 1.0  # one operation of twelve is the identity
    still = RandAugment(1, 0.0)(images)
    stretched = (still != images).flatten(1).any(1).float().mean()
    assert stretched < 0.75  # rounding of resampling and autocontrast alone
    same = (still - images).abs().amax((1, 2, 3)) < 0.02
    assert same.float().mean() > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operations": -1}, "operations"),
        ({"operations": 1.5}, "operations"),
        ({"magnitude": 11}, "magnitude"),
        ({"low": 1.0}, "below white"),
    ],
)
def test_bad_arguments(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandAugment(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="N, C, H, W"):
        RandAugment()(torch.rand(3, 4))
    for images in (torch.rand(2, 3, 4, 4) * 2 - 1, torch.full((1, 3, 4, 4), torch.nan)):
        with pytest.raises(ValueError, match="the range of your images"):
            RandAugment()(images)
