"""`l2o study` and `l2o speed`: commands that are dataclasses, imported when asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature, getdoc
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from l2o.benchmarks.speed import SPEED
from l2o.benchmarks.studies import STUDIES
from l2o.registry import lookup
from l2o.service.outcomes import FAILURE, explained
from l2o.service.texts import examples

if TYPE_CHECKING:
    from l2o.benchmarks.studies.base import Study

Table = Mapping[str, tuple[str, str]]

PASSED_ON = {"allow_extra_args": True, "allow_interspersed_args": False}
"""What stands behind NAME is for the command of that name, `--help` included."""
Name = Annotated[
    str | None, typer.Argument(help="Which one; without it, all are listed.", show_default=False)
]


def study(context: typer.Context, name: Name = None) -> None:
    """Look at a policy: portrait, importance, harm, ...

    Each study answers one question; `l2o study NAME --help` tells its options.
    """
    _run("study", STUDIES, name, context.args)


def speed(context: typer.Context, name: Name = None) -> None:
    """Measure speed, side by side in one run.

    `l2o speed NAME --help` tells the options of each.
    """
    _run("speed", SPEED, name, context.args)


def listing(kind: str, table: Table) -> str:
    """Return a line for each member of a table: its name and its question."""
    width = max(map(len, table))
    lines = [f"  {name:{width}}  {question}" for name, (_, question) in table.items()]
    return "\n".join([f"l2o {kind} NAME, where NAME is one of:", *lines])


def _run(kind: str, table: Table, name: str | None, words: list[str]) -> None:
    if name is None:
        typer.echo(listing(kind, table))
        return
    with explained(command=kind):
        path = name if ":" in name else lookup(kind, table, name)[0]
        found: type[Study[Any]] = lookup(kind, {}, path)
    command, several = _command(found, kind, shlex.join(["l2o", kind, name, *words]))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    help_text = (getdoc(found) or "").partition("\n\nAttributes:")[0]
    app.command(help=help_text, epilog=examples(*found.examples))(command)
    app(list(_spread(words, several)), prog_name=f"l2o {kind} {name}")


def _command(
    found: type[Study[Any]], kind: str, again: str
) -> tuple[Callable[..., None], set[str]]:
    """Return a function with an argument per field, and which options take several words."""
    hints = get_type_hints(found, include_extras=True)
    parameters, several = [], set()
    for each in fields(found):
        hint = hints[each.name]
        base, *facts = get_args(hint)
        if get_origin(base) is tuple:
            # Fields are tuples, so that a study is immutable; the command line gives lists.
            hint = Annotated[list[get_args(base)[0]], *facts]  # type: ignore[misc]
            several.add(f"--{each.name.replace('_', '-')}")
        only, default = Parameter.KEYWORD_ONLY, _default(each)
        parameters.append(Parameter(each.name, only, default=default, annotation=hint))

    def command(**given: Any) -> None:
        from l2o.benchmarks.studies.base import KeptStudy, perform

        given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        made = found(**given)
        goes_on = isinstance(made, KeptStudy) and made.out is not None
        with explained(given.get("out"), again if goes_on else None, kind):
            whole = perform(made)
        if not whole:
            raise typer.Exit(FAILURE)

    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command, several


def _default(field: Field[Any]) -> Any:
    if field.default is MISSING:
        return Parameter.empty
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _spread(words: list[str], several: set[str]) -> Iterator[str]:
    """Yield `--rows a --rows b` for `--rows a b`.

    Example:
        >>> list(_spread(["x", "--rows", "a", "b", "--out", "c"], {"--rows"}))
        ['x', '--rows', 'a', '--rows', 'b', '--out', 'c']
    """
    option, first = "", False
    for word in words:
        if word.startswith("--"):
            option, first = (word, True) if word in several else ("", False)
        elif option and not first:
            yield option
        else:
            first = False
        yield word
