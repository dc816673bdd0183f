"""How an exception gets from a worker to the caller: as it is, with the traceback it had there."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass


class RemoteTraceback(Exception):
    """Cause of an exception that a worker raised: its traceback there, as text.

    Args:
        text: the traceback.
        raised_in: name of the module that raised it.
    """

    def __init__(self, text: str, raised_in: str) -> None:
        super().__init__(text, raised_in)
        self.text = text
        self.raised_in = raised_in

    def __str__(self) -> str:
        """Return the traceback, set off from what comes before."""
        return f'\n"""\n{self.text}"""'


class RemoteError(RuntimeError):
    """Stands for an exception of a worker that cannot be pickled; names it."""


@dataclass(frozen=True)
class Failure:
    """An exception on its way.

    Attributes:
        error: the exception without its traceback.
        text: its traceback.
        raised_in: name of the module that raised it.
    """

    error: Exception
    text: str
    raised_in: str

    def as_error(self) -> Exception:
        """Return the exception, to be raised; its cause tells where it comes from."""
        self.error.__cause__ = RemoteTraceback(self.text, self.raised_in)
        return self.error


def failure_of(error: Exception) -> Failure:
    """Return what tells the caller of an exception that was just caught."""
    text = "".join(traceback.format_exception(error))
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = str(last.tb_frame.f_globals.get("__name__")) if last is not None else ""
    return Failure(_portable(error), text, module)


def _portable(error: Exception) -> Exception:
    """Return the exception, or one that names it if it does not come through pickle whole."""
    try:
        came = pickle.loads(pickle.dumps(error))
        if type(came) is type(error) and str(came) == str(error):
            return error
    except Exception:  # by any fault of a class that is not ours
        pass
    return RemoteError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
