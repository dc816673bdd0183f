"""`python -m l2o.benchmarks.studies.portrait COMMAND POLICY --out FOLDER`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import ModuleType

from l2o.benchmarks.studies.portrait import importance, pictures
from l2o.files.streams import forgive_encodings

COMMANDS: dict[str, ModuleType] = {"pictures": pictures, "importance": importance}
"""Command -> module with `add_arguments(parser)` and `run(arguments)`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    forgive_encodings()
    parser = argparse.ArgumentParser(
        prog="python -m l2o.benchmarks.studies.portrait", description="Look at a learned policy."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").strip().split("\n")[0])
        module.add_arguments(command)
    # Overrides may stand behind options, as in the commands of `l2o`.
    parsed, rest = parser.parse_known_args(arguments)
    if any(word.startswith("-") or "=" not in word for word in rest):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    parsed.overrides = [*parsed.overrides, *rest]
    COMMANDS[parsed.command].run(parsed)


if __name__ == "__main__":
    main()
