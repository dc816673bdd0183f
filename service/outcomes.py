"""How commands end: messages and exit codes instead of tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from l2o.extras import MissingExtraError, needed_by
from l2o.service.base_install import EXTRAS

USER_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


@contextmanager
def explained(
    out: Path | None = None, again: str | None = None, command: str = ""
) -> Iterator[None]:
    """Turn the errors that a user can mend into one message, and Ctrl-C into advice.

    Exit codes: 2 for bad input and for a library that is not installed, 1 for other failures that
    we foresaw, 130 for Ctrl-C. Any other error is a bug and keeps its traceback.

    Args:
        out: where the command saves what it does.
        again: the command line that goes on after Ctrl-C.
        command: its name, as "train".
    """
    try:
        with needed_by(f"l2o {command}".rstrip(), EXTRAS.get(command)):
            yield
    except KeyboardInterrupt:
        typer.echo(_advice(out, again), err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, OSError, RuntimeError) as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code) from None


def _advice(out: Path | None, again: str | None) -> str:
    lines = ["", "Stopped."]
    if out is not None and out.exists():
        lines.append(f"What was finished is saved in {out}")
    if again is not None:
        lines.append(f"Go on with:  {again}")
    return "\n".join(lines)


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that a user can mend or that we foresaw; None for a bug."""
    if isinstance(error, MissingExtraError):
        return USER_ERROR
    # A file that cannot be read or written: a full disk, no permission, a folder in its place.
    if isinstance(error, OSError) and error.filename is not None:
        return USER_ERROR
    if not raised_by_us(error):
        return None
    return FAILURE if isinstance(error, RuntimeError) else USER_ERROR


def raised_by_us(error: BaseException) -> bool:
    """Tell whether an error was raised by a `raise` of this package, not by a library below it."""
    module = getattr(error.__cause__, "raised_in", None)  # in a worker: `RemoteTraceback`
    trace = error.__traceback__
    if module is None:
        if trace is None:
            return False
        while trace.tb_next is not None:
            trace = trace.tb_next
        module = str(trace.tb_frame.f_globals.get("__name__"))
    return module == "l2o" or module.startswith("l2o.")
