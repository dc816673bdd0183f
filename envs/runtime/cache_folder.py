"""Where files lie that can be made anew."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$L2O_CACHE`, or `~/.cache/l2o`."""
    return Path(os.environ.get("L2O_CACHE") or Path.home() / ".cache" / "l2o").expanduser()
