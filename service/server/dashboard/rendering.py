"""From templates to pages."""

from __future__ import annotations

import time
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from l2o import __version__
from l2o.service.server.base import Context

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""What a page may load and do: this server's own files, and nothing else."""


class Pages:
    """Renders the templates of the dashboard.

    Args:
        context: of the server.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.templates = Environment(
            loader=PackageLoader("l2o.service.server.dashboard"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters |= {
            "size": size,
            "ago": ago,
            "duration": duration,
            "short": short,
            "percent": percent,
        }

    def show(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page.

        Args:
            request: that it answers; whoever has its token is named on the page.
            name: of the template, without its ending.
            status: of the answer.
            **values: that the template shows.
        """
        token = request.scope.get("token")
        text = self.templates.get_template(f"{name}.html").render(
            who=None if token is None else token.name,
            may_write=token is not None and token.right == "write",
            here=request.url.path,
            version=__version__,
            **values,
        )
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(text, status, headers)


def size(count: float) -> str:
    """Return bytes as people read them.

    Example:
        >>> size(1536)
        '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float | None) -> str:
    """Return a length of time as people read it.

    Example:
        >>> duration(4000.0)
        '1 h 6 min'
    """
    if seconds is None:
        return ""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def ago(moment: float | None) -> str:
    """Return how long ago a moment was."""
    if moment is None:
        return ""
    return f"{duration(max(0.0, time.time() - moment))} ago"


def short(value: float | None) -> str:
    """Return a number in few digits.

    Example:
        >>> short(0.012345)
        '0.01234'
    """
    return "" if value is None else f"{value:.4g}"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "" if share is None else f"{share:.0%}"
