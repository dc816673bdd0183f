"""Looking things up by name in a family's table, with dotted paths for the user's own things."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from l2o.extras import MissingExtraError

T = TypeVar("T")
NO_CODE = "L2O_NO_CODE"
"""Environment variable that, when set, refuses names of code: what a server's jobs run under."""

_VARIABLE = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


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
        found: T = import_path(self.paths[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def import_path(path: str) -> Any:
    """Return what a path of our own names; what a config names goes through `lookup`.

    Args:
        path: `package.module:Name`.

    Raises:
        ImportError: what the module needs is not installed.

    Example:
        >>> import_path("math:sqrt")(9.0)
        3.0
    """
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lookup(kind: str, table: Mapping[str, T], name: str) -> T:
    """Return `table[name]`, or import `package.module:Name` when the name holds a colon.

    Args:
        kind: what the table holds, in the singular ("schedule"); used in errors.
        table: the family's explicit table.
        name: a key of the table, or a dotted path to an object of the user's own.

    Raises:
        ValueError: the name is neither, the message lists the table and the nearest match; or it is
            a dotted path, and the environment has `L2O_NO_CODE`.

    Example:
        >>> lookup("fruit", {"apple": 1, "pear": 2}, "pear")
        2
    """
    if name in table:
        return table[name]
    if ":" in name:
        return _import_dotted(kind, name)
    raise ValueError(unknown_name(kind, name, table))


def make_member(
    kind: str,
    table: Mapping[str, Callable[..., T]],
    name: str,
    options: Mapping[str, Any],
    **given: Any,
) -> T:
    """Return the thing of that name, made with these options.

    Args:
        kind: what it is, in the singular; used in errors.
        table: the family's table; a member may keep its options in a class, `Options`.
        name: a key of the table, or a dotted path.
        options: keyword arguments, checked against those that it takes.
        **given: arguments that are not the user's.

    Raises:
        ValueError: unknown name, unknown option (with the nearest match), or a value it refuses.

    Example:
        >>> make_member("share", {"half": lambda of: of / 2}, "half", {"of": 3})
        1.5
    """
    make = lookup(kind, table, name)
    parameters, free = _parameters(make)
    known = [parameter for parameter in parameters if parameter not in given]
    for option in options:
        if option not in known and not free:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{kind} {name!r} has no option {option!r}.{hint} "
                f"Known: {', '.join(known) or 'none'}."
            )
    try:
        return make(**given, **options)
    except TypeError as error:
        raise ValueError(f"{kind} {name!r}: {error}") from error


def _parameters(make: Callable[..., Any]) -> tuple[list[str], bool]:
    """Return what may be given by name, and whether that is anything at all."""
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # some things of Python's own do not tell
        return [], True
    kinds = {parameter.kind for parameter in parameters.values()}
    named = [name for name, p in parameters.items() if p.kind not in _VARIABLE]
    options = getattr(make, "Options", None)
    if options is None:
        return named, inspect.Parameter.VAR_KEYWORD in kinds
    # Options that are a class of their own are given by its fields.
    fields = list(inspect.signature(options).parameters)
    return [name for name in named if name != "options"] + fields, False


def unknown_name(kind: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    """Word the error for an unknown name: what is known, and the nearest match."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}."


def _import_dotted(kind: str, path: str) -> T:  # type: ignore[type-var]
    if os.environ.get(NO_CODE):
        raise ValueError(
            f"{kind} {path!r} names code by its path, which is refused here ({NO_CODE} is set); "
            "take a member of the table, or start the server with --allow-code"
        )
    module_name, _, attribute = path.partition(":")
    try:
        found: T = getattr(importlib.import_module(module_name), attribute)
    except MissingExtraError:  # it was found, and says what it lacks
        raise
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"cannot import {kind} {path!r}: {error}. "
            "A dotted path reads package.module:Name; its module must be installed, on PYTHONPATH, "
            "or, for the command line, in the current folder."
        ) from error
    return found
