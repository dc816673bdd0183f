"""The console script `l2o`: the command line, or what a base install has of it."""

from __future__ import annotations

import os
import sys

from l2o.extras import MissingExtraError, needed_by
from l2o.files.streams import forgive_encodings
from l2o.service import base_install


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    find_modules_here()
    try:
        with needed_by("l2o"):
            from l2o.service.cli import main as whole
    except MissingExtraError:
        forgive_encodings()
        sys.exit(base_install.run(sys.argv[1:]))
    whole()


def find_modules_here() -> None:
    """Let dotted paths name modules of the current folder, as `python -m` does.

    The folder comes last, so that nothing in it stands in for what is installed; with Python's
    option for safe paths (`-P`, `PYTHONSAFEPATH`) it stays out. Workers are given the same path.
    """
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.append(here)
