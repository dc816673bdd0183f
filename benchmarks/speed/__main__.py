"""`python -m l2o.benchmarks.speed COMMAND --json FILE`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import ModuleType

from l2o.benchmarks.speed import cells, controller, footprint, guidance, page, precision, stacked

COMMANDS: dict[str, ModuleType] = {
    "stacked": stacked,
    "controller": controller,
    "footprint": footprint,
    "page": page,
    "cells": cells,
    "precision": precision,
    "guidance": guidance,
}
"""Command -> module with `add_arguments(parser)` and `run(arguments)`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m l2o.benchmarks.speed", description="Measure speed, side by side in one run."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").strip().split("\n")[0])
        module.add_arguments(command)
    parsed = parser.parse_args(arguments)
    COMMANDS[parsed.command].run(parsed)


if __name__ == "__main__":
    main()
