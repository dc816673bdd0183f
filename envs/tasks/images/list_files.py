"""Listings that a file gives: lines of path and label, or a table in CSV."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2o.envs.tasks.images.listing import SUFFIXES, UNKNOWN, Listing
from l2o.registry import unknown_name

PATH_COLUMNS = ("path", "file", "filename", "image")
"""Names of the column of a CSV that has paths."""
LABEL_COLUMNS = ("label", "class", "class_name", "category")
"""Names of the column that has labels."""


@dataclass(frozen=True)
class _Row:
    """What a line says: its number, a path, and a label, if it has one."""

    line: int
    path: str
    label: str | None


def list_from_file(
    file: str | Path,
    *,
    root: str | Path | None = None,
    classes: Sequence[str] = (),
    numbered: Sequence[str] = (),
) -> Listing:
    """Return the listing of a file whose lines are `relative/path label`, or of a CSV.

    A label is a class's name, or its number. Names of classes are those given; else labels that
    are names, in order; else those of the folders that images lie in, where each number has one of
    its own, as VisDA-17's and DomainNet's lists have; else those of `numbered`; else the numbers. A
    CSV has a header, with a column `path`, `file` or `image`, and one `label` or `class`. Files
    without any label give a listing without.

    Args:
        file: the list.
        root: the folder that paths are relative to; by default the one that the list lies in.
        classes: names, in the order of numbers.
        numbered: what numbers mean where the file itself does not tell.

    Raises:
        ValueError: no such file, a line or a label that is none, an image that is missing, listed
            twice or has no label while others have one.
    """
    file = Path(file).expanduser()
    if not file.is_file():
        raise ValueError(f"{file} does not exist; it is to list images as lines `path label`")
    rows = list(_read_table(file) if file.suffix.lower() == ".csv" else _read_lines(file))
    if not rows:
        raise ValueError(f"{file} lists no image; its lines are `relative/path label`")
    root = file.parent if root is None else Path(root).expanduser()
    _check_files(file, root, rows)
    paths = tuple(row.path for row in rows)
    bare = [row for row in rows if row.label is None]
    if len(bare) == len(rows):
        return Listing(str(root), paths, np.full(len(rows), UNKNOWN, dtype=np.int64))
    if bare:
        raise ValueError(
            f"{file}, line {bare[0].line}: {bare[0].path!r} has no label, while others have one; "
            "give every image a label, or none"
        )
    names, places = _find_classes(file, rows, tuple(classes), tuple(numbered))
    labels = [_label(file, row, names, places) for row in rows]
    return Listing(str(root), paths, np.array(labels, dtype=np.int64), names)


def _read_lines(file: Path) -> Iterator[_Row]:
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        if "\t" in line:
            path, _, label = line.rpartition("\t")
        elif line.lower().endswith(SUFFIXES):
            path, label = line, ""
        else:
            # From the right: names of folders have spaces, as Office-Home's "Real World".
            path, _, label = line.rpartition(" ")
        if not path.strip():
            raise ValueError(
                f"{file}, line {number}: {line!r} is no `relative/path label`; images end in "
                f"{', '.join(SUFFIXES)}"
            )
        yield _Row(number, path.strip().replace("\\", "/"), label.strip() or None)


def _read_table(file: Path) -> Iterator[_Row]:
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        first = text.readline()
        text.seek(0)
        # Spreadsheets of some countries write semicolons.
        separator = max(",;\t", key=first.count)
        reader = csv.DictReader(text, delimiter=separator)
        header = {name.strip().lower(): name for name in reader.fieldnames or () if name}
        of_path = next((header[name] for name in PATH_COLUMNS if name in header), None)
        of_label = next((header[name] for name in LABEL_COLUMNS if name in header), None)
        if of_path is None:
            raise ValueError(
                f"{file} has no column {', '.join(PATH_COLUMNS)}; its first line is to name "
                f"the columns, and names {', '.join(header) or 'none'}"
            )
        for row in reader:
            path = (row[of_path] or "").strip()
            if not path:
                raise ValueError(f"{file}, line {reader.line_num}: column {of_path!r} is empty")
            label = None if of_label is None else (row[of_label] or "").strip()
            yield _Row(reader.line_num, path.replace("\\", "/"), label or None)


def _check_files(file: Path, root: Path, rows: Sequence[_Row]) -> None:
    """Raise ValueError if images are missing, or listed twice: splits would share them."""
    seen: dict[str, int] = {}
    missing: list[_Row] = []
    for row in rows:
        if row.path in seen:
            raise ValueError(
                f"{file} lists {row.path!r} twice, in lines {seen[row.path]} and {row.line}; "
                "remove one of them"
            )
        seen[row.path] = row.line
        if not os.path.isfile(os.path.join(root, row.path)):
            missing.append(row)
    if missing:
        first = missing[0]
        raise ValueError(
            f"{len(missing)} of the {len(rows)} images that {file} lists are missing, the first "
            f"is {root / first.path} (line {first.line}); add them, or take their lines out"
        )


def _find_classes(
    file: Path, rows: Sequence[_Row], classes: tuple[str, ...], numbered: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the names of the classes, and which one each label stands for."""
    labels = {str(row.label) for row in rows}
    if not classes and not all(label.isdecimal() for label in labels):
        classes = tuple(sorted(labels))
    if not classes:
        by_folder = _name_by_folders(rows)
        if by_folder:
            # In the order of numbers, of which some may not occur.
            return tuple(by_folder.values()), {
                label: place for place, label in enumerate(by_folder)
            }
        classes = numbered or _numbers(file, labels)
    by_number = {str(place): place for place in range(len(classes))}
    return classes, by_number | {name: place for place, name in enumerate(classes)}


def _name_by_folders(rows: Sequence[_Row]) -> dict[str, str]:
    """Return the folder of each number, in their order; nothing unless each has one of its own."""
    folders: dict[str, set[str]] = {}
    for row in rows:
        folders.setdefault(str(row.label), set()).add(
            posixpath.basename(posixpath.dirname(row.path))
        )
    names = {label: next(iter(folders[label])) for label in sorted(folders, key=int)}
    alone = len(folders) > 1 and all(len(each) == 1 for each in folders.values())
    if alone and all(names.values()) and len(set(names.values())) == len(names):
        return names
    return {}


def _numbers(file: Path, labels: set[str]) -> tuple[str, ...]:
    """Return the numbers that labels are, as names.

    Raises:
        ValueError: one is left out.
    """
    numbers = {int(label) for label in labels}
    every = range(max(numbers) + 1)
    if len(every) > len(numbers):
        absent = next(number for number in every if number not in numbers)
        raise ValueError(
            f"class {absent} has no image in {file}, whose labels go up to {max(numbers)}; number "
            "classes from 0 without gaps, or name them all: classes=[...]"
        )
    return tuple(map(str, every))


def _label(file: Path, row: _Row, classes: Sequence[str], places: Mapping[str, int]) -> int:
    """Return the place of a row's label among the classes.

    Raises:
        ValueError: it is no class.
    """
    label = str(row.label)
    place = places.get(label)
    if place is not None:
        return place
    where = f"{file}, line {row.line}:"
    if label.lstrip("-").isdecimal():
        raise ValueError(
            f"{where} label {label} of {row.path!r} is no class; there are {len(classes)}, "
            f"numbered from 0 to {len(classes) - 1}"
        )
    raise ValueError(f"{where} {unknown_name(f'class of {row.path!r}:', label, list(classes))}")
