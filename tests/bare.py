"""What setup.cfg installs, and programs in a Python where only a base install can be imported."""

from __future__ import annotations

import configparser
import functools
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

SETUP = configparser.ConfigParser()
SETUP.read(Path(__file__).parents[1] / "setup.cfg")

HIDING = """
import sys

class Hiding:
    # As if a library were not there: torch looks for some of them without importing them.
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, path, target)

HIDDEN = frozenset(%r)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(text):
    """Return the names in a list of requirements, those of our own extras included."""
    found = set()
    for line in text.split("\n"):
        name, extras = re.match(r"([\w.-]*)(?:\[([\w,-]+)\])?", line.strip()).groups()
        if name == "l2o":
            found.update(*(packages(EXTRAS[extra]) for extra in extras.split(",")))
        elif name:
            found.add(canonical(name))
    return found


EXTRAS = SETUP["options.extras_require"]
BASE = packages(SETUP["options"]["install_requires"])


def brought_by(*names):
    """Return distributions and all that they require, without extras, as far as installed."""
    found, waiting = set(), [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            required = requires(name) or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [
            canonical(re.match(r"[\w.-]+", line)[0]) for line in required if "extra ==" not in line
        ]
    return found


installed = functools.cache(packages_distributions)
"""Top-level modules -> the distributions that bring them; looked up once, which takes long."""


def hidden_modules(*allowed):
    """Return the top-level modules that are installed here and that `allowed` do not bring."""
    base = brought_by(*BASE, *allowed) | {"l2o", "pip"}
    places = installed().items()
    return sorted(
        module
        for module, distributions in places
        if not {canonical(name) for name in distributions} & base
    )


def run_bare(code, *arguments, allowed=(), cwd=None):
    """Run code where everything else is hidden; return what came of it."""
    program = HIDING % (hidden_modules(*allowed),) + code
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd
    )
