"""What a server is started with, and how a worker process gets it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from l2o.configs.base import Strict
from l2o.registry import lookup

VARIABLE = "L2O_SERVE_SETTINGS"
"""Environment variable in which the processes of one server find its settings."""

MEBIBYTE = 1 << 20


class Settings(Strict):
    """Settings of a server; the command `l2o serve` makes them of its options.

    Example:
        >>> Settings(data=Path("data")).database
        PosixPath('data/service.db')
    """

    data: Path
    """Folder of the database, runs, policies and uploads."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = Field(8420, ge=0, le=65535)
    """Port to listen at; 0 takes a free one."""
    token: Path | None = None
    """File of tokens; without it one is drawn and kept in the data folder."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that answer requests."""
    allow_code: bool = False
    """Whether jobs may name code by dotted path."""
    log_level: str = "info"
    """debug, info, warning or error."""
    max_body: int = Field(MEBIBYTE, ge=1024)
    """Largest body of a request, in bytes, but for policies and uploads."""
    max_bundle: int = Field(16 * MEBIBYTE, ge=1024)
    """Largest policy, in bytes."""
    max_upload: int = Field(2048 * MEBIBYTE, ge=1024)
    """Largest upload of images, in bytes."""
    body_seconds: float = Field(20.0, gt=0)
    """Seconds within which headers and body of a request must arrive."""
    upload_seconds: float = Field(900.0, gt=0)
    """The same for uploads."""
    rate: float = Field(5000.0, gt=0)
    """Requests a second that one token is answered in the long run."""
    failures: float = Field(30.0, gt=0)
    """Wrong tokens a minute that one address may try."""
    session_seconds: float = Field(86_400.0, gt=0)
    """Seconds without a decision after which a control session expires."""
    max_sessions: int = Field(100_000, ge=1)
    """Control sessions that are kept at once."""

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.data / "service.db"

    def hand_over(self) -> None:
        """Leave the settings where worker processes look for them."""
        os.environ[VARIABLE] = self.model_dump_json()

    @classmethod
    def handed_over(cls) -> Settings:
        """Return the settings that the starting process left.

        Raises:
            RuntimeError: it left none: the app was not started by `l2o serve`.
        """
        text = os.environ.get(VARIABLE)
        if text is None:
            raise RuntimeError(
                f"the environment has no {VARIABLE}; start the server with `l2o serve`, or call "
                "create_app(Settings(...))"
            )
        return cls.model_validate_json(text)


def settings_of(more: Iterable[str], **given: Any) -> Settings:
    """Return settings of the command's options and of `key=value` for others.

    Raises:
        ValueError: a field that there is not, or a value that it cannot have.

    Example:
        >>> settings_of(["rate=100"], data=Path("data")).rate
        100.0
    """
    limits = {name: None for name in Settings.model_fields if name not in given}
    for each in more:
        name, found, value = each.partition("=")
        if not found:
            raise ValueError(f"{each!r} is no key=value, as max_body=1e6 is")
        lookup("limit", limits, name)
        given[name] = _number(name, value)
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}, got {first['input']!r}") from None


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {value!r}") from None
