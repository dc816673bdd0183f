"""The console script `l2o`: the command line, or what a base install has of it."""

from __future__ import annotations

import sys

from l2o.extras import MissingExtraError, needed_by
from l2o.files.streams import forgive_encodings
from l2o.service import base_install


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    try:
        with needed_by("l2o"):
            from l2o.service.cli import main as whole
    except MissingExtraError:
        forgive_encodings()
        sys.exit(base_install.run(sys.argv[1:]))
    whole()
