"""Miniatures of data sets, in the layouts that they come in; and a tiny network to put on them.

Each function writes a whole data set of a few images to a folder. Images of class k have the grey
40 k + 20 but for noise, so that a label can be checked by its pixels.
"""

import struct
import sys
import types
import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import nn

from l2o.envs.networks.base import Inputs, PretrainedNetwork

SIZE = 24
INPUTS = Inputs(size=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), crop_share=0.8)


def grey_of(label):
    return 40 * label + 20


def picture(label, number=0, size=(SIZE, SIZE)):
    """Return an image whose mean tells its class, uint8 `[H, W, 3]`."""
    noise = np.random.default_rng([label, number]).integers(-5, 6, (*size, 3))
    return (grey_of(label) + noise).astype(np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def class_folders(root, classes, images=6, suffix=".png", start=0):
    """Write `root/CLASS/N.png`; classes are {name: label} or names in order."""
    labels = classes if isinstance(classes, dict) else {c: k for k, c in enumerate(classes)}
    for name, label in labels.items():
        for number in range(images):
            save(root / name / f"{number}{suffix}", picture(label, start + number))
    return root


def flat(root, images=8, label=1):
    for number in range(images):
        save(root / f"{number}.png", picture(label, 100 + number))
    return root


def corrupt(path):
    """Leave the first half of a file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def office31(root, classes=("back_pack", "bike"), images=4):
    for domain in ("amazon", "dslr", "webcam"):
        class_folders(root / domain / "images", classes, images)
    return root


def domainnet(root, classes=("apple", "bird", "clock"), images=4):
    """Write domains with lists of training and test, whose labels are numbers."""
    for domain in ("real", "sketch"):
        class_folders(root / domain, classes, images)
        for split, numbers in (("train", range(images - 1)), ("test", [images - 1])):
            lines = [
                f"{domain}/{name}/{number}.png {label}"
                for label, name in enumerate(classes)
                for number in numbers
            ]
            (root / f"{domain}_{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def visda17(root, relaid=False, images=2):
    """Write VisDA-17: lists beside the images, or all of them in `image_list`."""
    from l2o.envs.tasks.images.visda17 import CLASSES

    for split, suffix in (("train", ".png"), ("validation", ".jpg"), ("test", ".jpg")):
        lines = []
        for label, name in enumerate(CLASSES):
            for number in range(images):
                folder = f"trunk{number:02d}" if split == "test" else name
                path = f"{folder}/{label}_{number}{suffix}"
                save(root / split / path, picture(label % 6, number))
                lines.append(f"{f'{split}/' if relaid else ''}{path} {label}")
        place = root / ("image_list" if relaid else split)
        place.mkdir(exist_ok=True)
        (place / (f"{split}.txt" if relaid else "image_list.txt")).write_text("\n".join(lines))
    return root


# Masks ------------------------------------------------------------------------------------------


def mask_of(values, number, size=(SIZE, 32)):
    """Return a mask whose columns go through the values, moved along by its number."""
    columns = (np.arange(size[1]) // 4 + number) % len(values)
    return np.broadcast_to(np.array(values)[columns], size).copy()


def folder_masks(root, images=4, values=(0, 1, 2, 255), palette=False, masks=True):
    for number in range(images):
        mask = mask_of(values, number).astype(np.uint8)
        shade = np.repeat((mask % 200)[:, :, None] + 20, 3, axis=2).astype(np.uint8)
        save(root / "images" / f"{number}.jpg", shade, quality=95)
        if masks:
            save_mask(root / "masks" / f"{number}.png", mask, palette)
    return root


def save_mask(path, mask, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    if palette:
        image = image.convert("L")
        coloured = Image.frombytes("P", image.size, mask.tobytes())
        coloured.putpalette([value % 256 for value in range(768)])
        image = coloured
    image.save(path)


def gta5(root, images=5, odd=(3,)):
    """Write GTA5: palette masks of Cityscapes ids; some are of another size than their image."""
    for number in range(1, images + 1):
        size = (SIZE, 32 + 4 * (number % 2))
        save(root / "images" / f"{number:05d}.png", picture(2, number, size))
        wrong = (SIZE, 20) if number in odd else size
        mask = mask_of((0, 7, 8, 26, 33), number, wrong).astype(np.uint8)
        save_mask(root / "labels" / f"{number:05d}.png", mask, palette=True)
    return root


def cityscapes(root, images=3):
    for split, cities in (("train", ("aachen", "bochum")), ("val", ("munster",))):
        for city in cities:
            for number in range(images):
                name = f"{city}_{number:06d}_000019"
                image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
                save(image, picture(3, number, (SIZE, 48)))
                mask = mask_of((0, 7, 11, 24, 33), number, (SIZE, 48)).astype(np.uint8)
                place = root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"
                save_mask(place, mask)
    return root


def synthia(root, images=5):
    """Write SYNTHIA-RAND-CITYSCAPES: 16 bits, the class in red, the instance in green."""
    for number in range(images):
        save(root / "RGB" / f"{number:07d}.png", picture(4, number, (SIZE, 32)))
        mask = np.zeros((SIZE, 32, 3), np.uint16)
        mask[:, :, 0] = mask_of((0, 3, 4, 21, 12, 22), number)
        mask[:, :, 1] = 1000 + number
        place = root / "GT" / "LABELS" / f"{number:07d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png_of_16_bits(mask))
    return root


def png_of_16_bits(pixels):
    """Return a PNG in colour of 16 bits, which Pillow does not write."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, _ = pixels.shape
    rows = b"".join(filtered(pixels.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def filtered(rows, step=6):
    """Yield rows of bytes behind their filter, of which PNG has five: each in turn."""
    for number, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        above = rows[number - 1] if number else np.zeros_like(row)
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        guess = left + above - corner
        near = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)]).argmin(0)
        paeth = np.choose(near, [left, above, corner])
        kind = number % 5
        predicted = (0 * row, left, above, (left + above) // 2, paeth)[kind]
        yield bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()


# A network --------------------------------------------------------------------------------------


class TinyImageNetwork(nn.Module):
    """Two convolutions and a head, by timm's convention; of pixels or of images."""

    def __init__(self, classes, dense=False):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2)
        self.conv2 = nn.Conv2d(4, 8, 3)
        self.head = nn.Conv2d(8, classes, 1) if dense else nn.Linear(8, classes)
        self.dense = dense
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.2, generator=generator)

    def forward_features(self, x):
        maps = self.conv2(self.conv1(x).relu()).relu()
        return maps if self.dense else maps.mean((2, 3))

    def forward_head(self, features):
        return self.head(features)

    def get_classifier(self):
        return self.head

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class Pooled(nn.Module):
    """A proxy head: of whole images, whatever the features."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 5)

    def forward(self, features):
        return self.head(features.mean((2, 3)) if features.dim() == 4 else features)


def tiny_network(classes, dense=False):
    return PretrainedNetwork(
        name="tiny",
        build=partial(TinyImageNetwork, classes, dense),
        proxy_head=Pooled().requires_grad_(False),
        inputs=INPUTS,
        classes=classes,
        proxy_classes=5,
        layers=3,
        description={"library": "tests"},
    )


def load_tiny(name, *, classes, pretrained=True, weights=None, head="linear", inputs=None):
    """Stand in for `l2o.envs.networks.load.load_network`."""
    network = tiny_network(classes, dense=name == "tiny:dense")
    return replace(network, inputs=replace(network.inputs, **inputs or {}))


def use_tiny_network(monkeypatch):
    """Let families load the tiny network, whatever they ask for."""
    module = types.ModuleType("l2o.envs.networks.load")
    module.load_network = load_tiny
    monkeypatch.setitem(sys.modules, "l2o.envs.networks.load", module)
