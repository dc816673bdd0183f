"""Logs as JSON lines on the standard error: one object per event, and no secret in any."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any

from l2o.service.server.errors import plain

logger = logging.getLogger("l2o.service")
_SECRET = re.compile(r"(?i)(bearer\s+|token[=:]\s*|l2o_token=)[\w.~+/=-]{8,}")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; what looks like a token is left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(plain(told), ensure_ascii=True))


def without_secrets(text: str) -> str:
    """Return a text with what looks like a token left out.

    Example:
        >>> without_secrets("Authorization: Bearer 0123456789abcdef")
        'Authorization: Bearer [hidden]'
    """
    return _SECRET.sub(r"\1[hidden]", text)


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"fields": fields})


def begin_logging(level: str) -> None:
    """Let everything that this process logs come out as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = name != "uvicorn.access"  # requests are logged here
