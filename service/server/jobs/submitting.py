"""From a request to a queued job: everything that is refused is refused here."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from l2o.configs.errors import ConfigError
from l2o.configs.yaml_text import format_yaml
from l2o.service.server.jobs.base import Job
from l2o.service.server.jobs.code_names import refuse_code
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.names import check_names
from l2o.service.server.jobs.paths import refuse_outside
from l2o.service.server.jobs.request import JobRequest
from l2o.service.server.jobs.runner import Runner

FolderOf = Callable[[str], str | None]
"""From an uploaded policy's name to its folder, None for other names."""


def submit(runner: Runner, request: JobRequest, folder_of: FolderOf = lambda name: None) -> Job:
    """Check a request and queue its job; nothing is written unless all of it is right.

    Args:
        runner: of the data folder.
        request: what is asked for.
        folder_of: where uploaded policies lie, whose names a config may have.

    Returns:
        The job; under a key that a job has already, that job.

    Raises:
        ConfigError: an unknown command, a wrong config, or needs that this machine never has.
        CodeRefusedError: it names code, and the server was not started to allow it.
        OutsideError: a path leads out of what jobs may read.
        UnknownJobError: it is to come after a job that is not there.
    """
    if request.key is not None:
        found = runner.store.find_key(request.key)
        if found is not None:
            return found
    config = resolved(runner.commands, request, runner.data, runner.allow_code, folder_of)
    lacks = runner.capacity.lacks(request.needs)
    if lacks:
        raise ConfigError(f"needs: {lacks}; ask for less")
    for other in request.after:
        runner.store.get(other)
    id = runner.store.new_id()
    folder = runner.folder(id)
    # The folder first: a job in the database always has one.
    folder.make(format_yaml(config))
    try:
        job = runner.store.add(
            id,
            request.command,
            name=request.name,
            priority=request.priority,
            needs=request.needs,
            after=request.after,
            max_resumes=request.max_resumes,
            key=request.key,
        )
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    if job.id != id:
        shutil.rmtree(folder.path, ignore_errors=True)
    return job


def resolved(
    commands: Mapping[str, Command],
    request: JobRequest,
    data: Path,
    allow_code: bool,
    folder_of: FolderOf = lambda name: None,
) -> dict[str, Any]:
    """Return a request's config with every field, held against all that jobs may not name."""
    command = commands.get(request.command)
    if command is None:
        near = difflib.get_close_matches(request.command, commands, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"unknown command {request.command!r}.{hint} Jobs run: {', '.join(commands)}."
        )
    config: dict[str, Any] = with_policies(command.resolve(request.config_data()), folder_of)
    if not allow_code:
        refuse_code(config)
    refuse_outside(config, data)
    check_names(config, data)
    return config


def with_policies(data: Any, folder_of: FolderOf) -> Any:
    """Return plain data with the folders of uploaded policies in place of their names.

    Example:
        >>> with_policies({"choice": {"policy": "mine"}}, {"mine": "policies/mine/0123"}.get)
        {'choice': {'policy': 'policies/mine/0123'}}
    """
    if isinstance(data, dict):
        return {
            key: (folder_of(value) or value)
            if key in ("policy", "lite") and isinstance(value, str)
            else with_policies(value, folder_of)
            for key, value in data.items()
        }
    return [with_policies(value, folder_of) for value in data] if isinstance(data, list) else data
