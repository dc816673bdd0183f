"""Ways in which a file is damaged: what power cuts, full disks, bad memory and mix-ups leave."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Generator = np.random.Generator
Damage = Callable[[Path, Generator, Path], None]
"""Damages a file: the file, what random numbers are drawn from, and the marker of `Executed`."""


class Executed:
    """What a pickle does when it is loaded: it makes the marker, a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Have the marker made by whoever loads this."""
        return os.mkdir, (str(self.marker),)


def cut(path: Path, random: Generator, marker: Path) -> None:
    """Keep the beginning only: a disk that was full, a copy that stopped."""
    content = path.read_bytes()
    path.write_bytes(content[: int(random.integers(1, len(content)))])


def empty(path: Path, random: Generator, marker: Path) -> None:
    """Keep the name only: a power cut."""
    path.write_bytes(b"")


def zeroed(path: Path, random: Generator, marker: Path) -> None:
    """Make zeros of a stretch, often up to the end: a power cut, too."""
    content = bytearray(path.read_bytes())
    begin = int(random.integers(len(content)))
    end = len(content) if random.random() < 0.5 else int(random.integers(begin, len(content))) + 1
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)


def flipped(path: Path, random: Generator, marker: Path) -> None:
    """Flip one to three bits: bad memory, a bad disk."""
    content = bytearray(path.read_bytes())
    for _ in range(int(random.integers(1, 4))):
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def foreign(path: Path, random: Generator, marker: Path) -> None:
    """Put something else there: text, noise, JSON, pickles that execute code when loaded."""
    others = (_text, _noise, _json, _nested, _pickle, _archive, _arrays)
    path.write_bytes(others[int(random.integers(len(others)))](random, marker))


def folder(path: Path, random: Generator, marker: Path) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()
    (path / "inside.txt").write_text("of somebody else", encoding="utf-8")


def missing(path: Path, random: Generator, marker: Path) -> None:
    """Delete it."""
    path.unlink()


def unreadable(path: Path, random: Generator, marker: Path) -> None:
    """Let nobody read it; a superuser reads it all the same."""
    path.chmod(0)


DAMAGES: dict[str, Damage] = {
    "cut": cut,
    "empty": empty,
    "zeroed": zeroed,
    "flipped": flipped,
    "foreign": foreign,
    "folder": folder,
    "missing": missing,
    "unreadable": unreadable,
}
"""Name -> what it does to a file."""


def mended(path: Path) -> None:
    """Undo what would keep a folder from being removed."""
    if path.exists() and not os.access(path, os.R_OK):
        path.chmod(0o600)
    if path.is_dir():
        shutil.rmtree(path)


def _text(random: Generator, marker: Path) -> bytes:
    return b"these are somebody's notes\n" * int(random.integers(1, 50))


def _noise(random: Generator, marker: Path) -> bytes:
    return random.bytes(int(random.integers(1, 5000)))


def _json(random: Generator, marker: Path) -> bytes:
    others: list[Any] = [[], {}, {"format": 1}, {"rows": 3}, 7, None, {"id": 1}, {"a": [1, "x"]}]
    return json.dumps(others[int(random.integers(len(others)))]).encode() + b"\n"


def _nested(random: Generator, marker: Path) -> bytes:
    return b"[" * 200_000


def _pickle(random: Generator, marker: Path) -> bytes:
    return pickle.dumps(Executed(marker))


def _archive(random: Generator, marker: Path) -> bytes:
    """Return what `torch.save` writes, of a thing that executes code."""
    import torch

    buffer = io.BytesIO()
    torch.save({"learner": Executed(marker)}, buffer)
    return buffer.getvalue()


def _arrays(random: Generator, marker: Path) -> bytes:
    """Return a .npz whose array of objects executes code."""
    array, buffer = io.BytesIO(), io.BytesIO()
    np.save(array, np.array([Executed(marker)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("proxy", "source", "target"):
            archive.writestr(f"{name}.npy", array.getvalue())
    return buffer.getvalue()
