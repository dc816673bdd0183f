"""From what jobs refuse to the answer that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from l2o.configs.errors import ConfigError
from l2o.service.server.errors import Problem
from l2o.service.server.jobs.archives import ArchiveError
from l2o.service.server.jobs.artifacts import UnknownFileError
from l2o.service.server.jobs.base import JobStateError, UnknownJobError
from l2o.service.server.jobs.code_names import CodeRefusedError
from l2o.service.server.jobs.paths import OutsideError
from l2o.service.server.jobs.uploads import UnknownUploadError, UploadError

STATUS: dict[type[Exception], int] = {
    UnknownJobError: 404,
    UnknownFileError: 404,
    UnknownUploadError: 404,
    CodeRefusedError: 403,
    OutsideError: 403,
    JobStateError: 409,
    UploadError: 409,
    ArchiveError: 422,
    ConfigError: 422,
}
"""Error -> status of the answer."""


@contextmanager
def answered() -> Iterator[None]:
    """Make a problem of what was refused; its message has the remedy already.

    Raises:
        Problem: instead of each error of `STATUS`.
    """
    try:
        yield
    except tuple(STATUS) as error:
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        message = str(error.args[0]) if error.args else str(error)
        raise Problem(status, message) from error
