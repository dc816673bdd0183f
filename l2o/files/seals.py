"""Seals: a file carries the SHA-256 of what it holds, and is held against it when read.

JSON has it as the field `sha256` of the top mapping, over the canonical text of all other fields.
Any other file has it as its last 77 bytes, after the content. Files without a seal are of earlier
releases, and are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o.files.atomic import DamagedFileError, read_bytes, write_atomically

FIELD = "sha256"
"""The field of a JSON mapping that holds its seal."""
MARK = b"\nl2o-sha256:"
"""What a seal at the end of a file begins with; the digest and a line's end follow."""
_LENGTH = len(MARK) + 64 + 1


def seal_bytes(content: bytes) -> bytes:
    """Return content with its seal at the end.

    Example:
        >>> seal_bytes(b"weights")[:19]
        b'weights\\nl2o-sha256:'
    """
    return content + MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"


def read_sealed(path: Path, remedy: str) -> bytes:
    """Return the content of a file, less its seal.

    Raises:
        DamagedFileError: missing, unreadable, empty, or not what its seal says.
    """
    content = read_bytes(path, remedy)
    if content[-_LENGTH:-65] != MARK:
        return content
    content, seal = content[:-_LENGTH], content[-65:-1]
    if hashlib.sha256(content).hexdigest().encode() != seal:
        raise DamagedFileError(path, "is damaged (its SHA-256 is not the one it ends with)", remedy)
    return content


def seal_json(data: Mapping[str, Any], field: str = FIELD) -> dict[str, Any]:
    """Return JSON-able data with their seal as one more field.

    Raises:
        ValueError: NaN or infinity, which JSON has no word for.

    Example:
        >>> list(seal_json({"kind": "train"}))
        ['kind', 'sha256']
    """
    plain = {key: value for key, value in data.items() if key != field}
    plain = json.loads(json.dumps(plain, allow_nan=False))
    return {**plain, field: _digest(plain)}


def open_json(
    path: Path, text: bytes | str, remedy: str, field: str = FIELD, place: str = ""
) -> dict[str, Any]:
    """Return the mapping that a JSON text holds, less its seal.

    Args:
        path: the file it is from, for errors.
        text: the text.
        remedy: what to do if it is damaged.
        field: where the seal is.
        place: where in the file, for errors: "line 3".

    Raises:
        DamagedFileError: no JSON, no mapping, or not what its seal says.
    """
    where = f" in {place}" if place else ""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, f"is damaged{where} (no JSON: {error})", remedy) from error
    if not isinstance(data, dict):
        reason = f"is damaged{where} (a {type(data).__name__}, no mapping)"
        raise DamagedFileError(path, reason, remedy)
    seal = data.pop(field, None)
    if seal is not None and seal != _digest(data):
        by_hand = f"if you changed it on purpose, take out its field {field!r}"
        reason = f"is damaged{where} (its content is not that of its {field!r})"
        raise DamagedFileError(path, reason, f"{remedy}; {by_hand}")
    return data


def write_json(path: Path, data: Mapping[str, Any], indent: int = 1) -> None:
    """Write a sealed mapping as strict JSON, whole or not at all."""
    write_atomically(path, json.dumps(seal_json(data), indent=indent, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the mapping of a JSON file, less its seal.

    Raises:
        DamagedFileError: missing, unreadable, no mapping in JSON, or not what its seal says.
    """
    return open_json(path, read_bytes(path, remedy), remedy)


def _digest(data: Mapping[str, Any]) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
