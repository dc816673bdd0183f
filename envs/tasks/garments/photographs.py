"""Photographs of garments: Fashion-MNIST, from a folder that is there already.

Source: Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms, 2017; MIT licence.
"""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.extras import needed_by
from l2o.files.atomic import DamagedFileError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""

WITHIN = Path("FashionMNIST/raw")
"""Where torchvision puts them, below its `root`."""

SIZES = {"train": 60_000, "t10k": 10_000}
"""Number of photographs by file."""

PARTS: dict[str, tuple[str, slice]] = {
    "target_validation": ("train", slice(0, 50_000)),
    "proxy_test": ("train", slice(50_000, 60_000)),
    "target_test": ("t10k", slice(0, 10_000)),
}
"""What each split of a task is drawn from: a file, and which of its photographs."""

SIDE = 28
"""Height and width, in pixels."""

_MAGIC = {"images": 2051, "labels": 2049}


class Photographs(NamedTuple):
    """Labelled photographs.

    Attributes:
        images: uint8 `[N, 28, 28]`, the ground 0.
        labels: uint8 `[N]`, in the order of the drawn classes.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def find_folder(root: str | None = None) -> Path:
    """Return the folder that has the four files.

    Args:
        root: where to look; None: Debian's folder, then where `make real` puts them.

    Raises:
        FileNotFoundError: they are not there; the message says how to get them.
    """
    roots = [DEBIAN, cache_folder()] if root is None else [Path(root).expanduser()]
    places = [place for each in roots for place in (each, each / WITHIN)]
    for place in places:
        if all(_path(place, part, kind) for part in SIZES for kind in _MAGIC):
            return place
    looked = ", ".join(str(each) for each in roots)
    raise FileNotFoundError(
        "the photographs of Fashion-MNIST (train-images-idx3-ubyte.gz and three more) are not in "
        f"{looked}; on Debian and Ubuntu: apt install dataset-fashion-mnist; elsewhere: make "
        "real, or torchvision.datasets.FashionMNIST(FOLDER, download=True) and root=FOLDER"
    )


@lru_cache(maxsize=4)
def load_photographs(part: str, root: str | None = None) -> Photographs:
    """Return the photographs of a file, read once per process; they cannot be written to.

    Args:
        part: "train" (60,000) or "t10k" (10,000).
        root: as of `find_folder`.

    Raises:
        FileNotFoundError: they are not there.
        DamagedFileError: a file is damaged, or is none of Fashion-MNIST.
    """
    folder = find_folder(root)
    images = _read(folder, part, "images").reshape(-1, SIDE, SIDE)
    return Photographs(images, _read(folder, part, "labels"))


def load_part(split: str, root: str | None = None) -> Photographs:
    """Return the photographs that a split of a task is drawn from.

    Args:
        split: one of `PARTS`.
        root: as of `find_folder`.

    Raises:
        FileNotFoundError: they are not there.
        DamagedFileError: a file is damaged, or is none of Fashion-MNIST.
    """
    file, within = PARTS[split]
    found = load_photographs(file, root)
    return Photographs(found.images[within], found.labels[within])


def count_part(split: str) -> int:
    """Return the number of photographs that a split of a task is drawn from."""
    within = PARTS[split][1]
    return int(within.stop - within.start)


def fetch_photographs(root: str | None = None) -> Path:
    """Return the folder that has the files; download them there if they are nowhere.

    The only thing here that goes to the network, and nothing but `make real` calls it.

    Args:
        root: where to look and where to put them; None: the cache folder.

    Raises:
        MissingExtraError: torchvision, which downloads them, is not installed.
    """
    try:
        return find_folder(root)
    except FileNotFoundError:
        with needed_by("the download of Fashion-MNIST"):
            from torchvision.datasets import FashionMNIST
        FashionMNIST(str(root or cache_folder()), download=True)
        return find_folder(root)


def _path(folder: Path, part: str, kind: str) -> Path | None:
    """Return the file of a part, compressed or not; None where there is none."""
    stem = folder / f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    for path in (stem.with_name(f"{stem.name}.gz"), stem):
        if path.is_file():
            return path
    return None


def _read(folder: Path, part: str, kind: str) -> NDArray[np.uint8]:
    """Return the bytes of a file, held against what its head says."""
    path = _path(folder, part, kind)
    assert path is not None
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    dimensions = 3 if kind == "images" else 1
    head = np.frombuffer(content[: 4 * (1 + dimensions)], dtype=">i4").tolist()
    wanted = [_MAGIC[kind], SIZES[part], SIDE, SIDE][: 1 + dimensions]
    values = np.frombuffer(content[4 * (1 + dimensions) :], dtype=np.uint8)
    if head != wanted or len(values) != int(np.prod(wanted[1:])):
        raise _damaged(path, f"it begins with {head} and has {len(values)} values, not {wanted}")
    return values


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(path, reason, "install the package, or download the files, again")
