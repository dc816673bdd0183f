"""What `l2o` does in a base install, which brings no library for command lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from l2o.extras import EXTRA_OF, INCLUDED, installed, missing

EXTRAS = {
    "train": "train",
    "finetune": "bench",
    "suggest": "bench",
    "predict": "bench",
    "benchmark": "bench",
    "report": "bench",
    "simulate": "train",
    "study": "bench",
    "speed": "bench",
    "tune": "ray",
    "serve": "serve",
}
"""The extra that each command needs; a command that is not here needs none."""

HELP = """\
Usage: l2o policies [NAME]

Learned layer-wise learning rates for fine-tuning on synthetic data.

Installed is what plugs a policy into a training loop (see `help(l2o.LRController)`);
`l2o policies` lists the shipped policies and shows their cards. For more, install:

{commands}
  {everything}  all of it, with all integrations

Options:
  --version  Show the version.
  --help     Show this message.
"""


def run(arguments: Sequence[str]) -> int:
    """Run what needs no extra, and for the rest say what to install; return the exit code."""
    first = arguments[0] if arguments else ""
    if first == "--version":
        from l2o import __version__

        print(f"l2o {__version__}")
        return 0
    if "--help" in arguments or not arguments:
        print(help_text(), end="")
        return 0
    if first == "policies" and len(arguments) <= 2:
        return _policies(*arguments[1:])
    if first in EXTRAS:
        return _fail(str(missing(f"l2o {first}", lacking(EXTRAS[first]), EXTRAS[first])))
    return _fail(f"there is no such command here: {first}\n\n{help_text()}")


def help_text() -> str:
    """Return what `l2o --help` shows: what is here, and what to install for the rest."""
    by_extra: dict[str, list[str]] = {}
    for command, extra in EXTRAS.items():
        by_extra.setdefault(extra, []).append(command)
    width = len(_install("bench"))
    lines = [
        f"  {_install(extra):{width}}  l2o {', '.join(commands)}"
        for extra, commands in by_extra.items()
    ]
    return HELP.format(commands="\n".join(lines), everything=f"{_install('all'):{width}}")


def lacking(extra: str) -> str:
    """Return the first library of an extra that is not installed; the first of all if all are."""
    parts = (extra, *INCLUDED.get(extra, ()))
    modules = [module for module, its in EXTRA_OF.items() if its in parts]
    return next((module for module in modules if not installed(module)), modules[0])


def _install(extra: str) -> str:
    return f'pip install "l2o[{extra}]"'


def _policies(name: str | None = None) -> int:
    from l2o.service.cards import described, listing

    try:
        print(listing() if name is None else described(name).rstrip("\n"))
    except ValueError as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
