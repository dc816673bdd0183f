"""A data set on disk that a simulator makes: images, masks, and the psi of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from l2o.envs.runtime.executor import Executor, in_order
from l2o.envs.simulators.base import Pixels, Simulator
from l2o.envs.simulators.contact_sheet import contact_sheet
from l2o.envs.simulators.dimensions import Value
from l2o.envs.simulators.space import Distribution, Point
from l2o.files.atomic import write_atomically

TABLE, SHEET = "psi.csv", "contact_sheet.png"
_PART = 64
"""Images that a worker draws at a time."""


class Part(NamedTuple):
    """Some images of a set: their numbers and labels."""

    numbers: range
    labels: tuple[int, ...]


def write_data_set(
    simulator: Simulator,
    psi: Point | Distribution,
    count: int,
    seed: int,
    out: Path,
    executor: Executor,
) -> Iterator[int]:
    """Draw images and write them; yield how many more are there whenever some are.

        out/images/CLASS/000017.png    what `l2o finetune folder source=out/images` reads
        out/masks/CLASS/000017.png     with the images what `folder_masks source=out` reads
        out/psi.csv                    image, class, and the value of each parameter
        out/contact_sheet.png          the first images of each class

    Image i depends on psi, the seed and i alone, so images that are there already are kept: a run
    that was killed goes on. The table and the sheet are written last.

    Args:
        simulator: what draws.
        psi: one point, or a distribution over points (`Simulator.render`).
        count: number of images.
        seed: of the set.
        out: the folder.
        executor: who draws.

    Raises:
        ValueError: a point that is not in the space, or nothing of a class was drawn.
    """
    if not hasattr(psi, "draw"):
        psi = simulator.parameters.complete(psi)
    labels = [int(label) for label in simulator.labels(count, seed)]
    numbers = [range(first, min(first + _PART, count)) for first in range(0, count, _PART)]
    parts = [Part(some, tuple(labels[some.start : some.stop])) for some in numbers]
    rows: list[list[Value]] = []
    for drawn in in_order(executor.map(partial(draw_part, simulator, psi, seed, out), parts)):
        rows += drawn
        yield len(drawn)
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(["image", "class", *simulator.parameters])
    lines.writerows(rows)
    paths = [out / "images" / str(row[0]) for row in rows]
    sheet = contact_sheet(paths, labels, simulator.classes)
    write_atomically(out / SHEET, png(sheet))
    write_atomically(out / TABLE, table.getvalue())


def draw_part(
    simulator: Simulator, psi: Point | Distribution, seed: int, out: Path, part: Part
) -> list[list[Value]]:
    """Draw some images and write those that are not there yet; return their rows of the table."""
    rows: list[list[Value]] = []
    for number, label in zip(part.numbers, part.labels, strict=True):
        name = simulator.classes[label]
        path = f"{name}/{number:06d}.png"
        image, mask, point = simulator.render_one(psi, number, label, seed)
        for folder, pixels in (("images", image), ("masks", mask)):
            if not (out / folder / path).is_file():
                write_atomically(out / folder / path, png(pixels))
        rows.append([path, name, *(point[parameter] for parameter in simulator.parameters)])
    return rows


def png(pixels: Pixels) -> bytes:
    """Return an image file of pixels `[H, W, 3]` or `[H, W]`."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
