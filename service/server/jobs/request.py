"""What is asked for when a job is submitted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from l2o.configs.errors import ConfigError
from l2o.configs.schema import Strict
from l2o.configs.yaml_text import MAX_DEPTH, parse_yaml
from l2o.service.server.jobs.base import Needs

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
"""A job's id."""


class JobRequest(Strict):
    """A job to be queued: a command, its config, and what it may use of the machine."""

    command: Annotated[str, Field(max_length=32)]
    """finetune, train, benchmark or predict."""
    config: dict[str, Any] | Annotated[str, Field(max_length=262_144)] = {}
    """The config, as a mapping or as YAML; its field `extends` names a preset to begin with."""
    name: Annotated[str, Field(max_length=120)] = ""
    """A name for people; the command's if empty."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Jobs of higher priority start earlier, of equal ones the older."""
    needs: Needs = Needs()
    """What it may use of the machine."""
    after: Annotated[tuple[Id, ...], Field(max_length=100)] = ()
    """Jobs that must have succeeded before it starts."""
    max_resumes: Annotated[int, Field(ge=0, le=100)] = 3
    """How often it is started again after it was killed by no one who asked for it."""
    key: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    """A text of your own: submitting twice under the same key is submitting once."""

    @field_validator("command", "name", "key")
    @classmethod
    def _check_text(cls, text: str | None) -> str | None:
        if text is not None and not text.isprintable():
            raise ValueError("must be one line of printable text")
        return text

    @field_validator("config")
    @classmethod
    def _check_config(cls, config: dict[str, Any] | str) -> dict[str, Any] | str:
        _require_plain(config)
        return config

    def config_data(self) -> dict[str, Any]:
        """Return the config as plain data.

        Raises:
            ConfigError: its text is no YAML, or no mapping.
        """
        if isinstance(self.config, dict):
            return self.config
        data = parse_yaml(self.config, "config")
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise ConfigError(f"config must be a mapping of fields, got {str(data)[:200]!r}")
        return data


def _require_plain(data: Any) -> None:
    """Refuse what is nested too deeply, and text that no file can hold."""
    level = [data]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _require_text(value)
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                below += value
        if not below:
            return
        level = below
    raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")


def _require_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no text") from None
