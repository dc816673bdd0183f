"""Looking things up by name in a family's table, with dotted paths for the user's own things."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class ImportedTable(Mapping[str, T]):
    """A family's table whose members are named by their path, and imported when looked up.

    For members that need heavy libraries: to use one, nobody has to have those of the others.

    Args:
        paths: name -> `package.module:Name`.

    Raises:
        ImportError: on a lookup, what the member's module needs is not installed.

    Example:
        >>> ImportedTable({"square root": "math:sqrt"})["square root"](9.0)
        3.0
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.paths = dict(paths)

    def __getitem__(self, name: str) -> T:
        module, _, attribute = self.paths[name].partition(":")
        found: T = getattr(importlib.import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def lookup(kind: str, table: Mapping[str, T], name: str) -> T:
    """Return `table[name]`, or import `package.module:Name` when the name holds a colon.

    Args:
        kind: what the table holds, in the singular ("schedule"); used in errors.
        table: the family's explicit table.
        name: a key of the table, or a dotted path to an object of the user's own.

    Raises:
        ValueError: the name is neither; the message lists the table and the nearest match.

    Example:
        >>> lookup("fruit", {"apple": 1, "pear": 2}, "pear")
        2
    """
    if name in table:
        return table[name]
    if ":" in name:
        return _import_dotted(kind, name)
    raise ValueError(unknown_name(kind, name, table))


def unknown_name(kind: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    """Word the error for an unknown name: what is known, and the nearest match."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}."


def _import_dotted(kind: str, path: str) -> T:  # type: ignore[type-var]
    module_name, _, attribute = path.partition(":")
    try:
        found: T = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"cannot import {kind} {path!r}: {error}. "
            "A dotted path reads package.module:Name and must be importable from here."
        ) from error
    return found
