"""Policies on disk: those that l2o ships, and those that were uploaded, by name and version."""

from __future__ import annotations

import json
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.deciding.bundle import CARD, WEIGHTS, list_policies, load_bundle
from l2o.deciding.learned import LearnedPolicy
from l2o.files.atomic import write_atomically
from l2o.integrations.remote.bundles import version_of
from l2o.registry import unknown_name
from l2o.service.server.errors import Problem, shown
from l2o.service.server.policies.checks import check_bundle

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
MOST_VERSIONS = 1_000
"""Uploaded versions, of all names together, that a server keeps."""
MOST_LOADED = 32
"""Policies that are kept in memory."""


@dataclass(frozen=True)
class Stored:
    """One version of a policy, on disk.

    Attributes:
        name: what it is called.
        version: hash of its two files.
        folder: where they are.
        source: "shipped" or "uploaded".
        created: seconds since 1970 at which the version came.
    """

    name: str
    version: str
    folder: Path
    source: str
    created: float

    @property
    def key(self) -> str:
        """Name and version, as a client may ask for them."""
        return f"{self.name}@{self.version}"

    def card(self) -> dict[str, Any]:
        """Return what the card says."""
        card: dict[str, Any] = json.loads((self.folder / CARD).read_bytes())
        return card

    def files(self) -> dict[str, bytes]:
        """Return the two files."""
        return {name: (self.folder / name).read_bytes() for name in (CARD, WEIGHTS)}


class PolicyStore:
    """Finds, loads and takes in policies; the same name and version always is the same policy.

    Args:
        root: folder of the uploaded ones.
        allow_code: whether their cards may name signals or intervals by dotted path.
    """

    def __init__(self, root: Path, allow_code: bool = False) -> None:
        self.root, self.allow_code = root, allow_code
        self._shipped = dict(sorted((name, _shipped(name, at)) for name, at in _of_release()))
        self._found: dict[str, Stored] = {}
        self._loaded: OrderedDict[str, LearnedPolicy] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return all names."""
        there = self.root.iterdir() if self.root.is_dir() else ()
        return sorted({*self._shipped, *(path.name for path in there if _is_name(path.name))})

    def versions(self, name: str) -> list[Stored]:
        """Return the versions of a policy, the newest first.

        Raises:
            Problem: there is none of that name.
        """
        if name in self._shipped:
            return [self._shipped[name]]
        found = []
        if _is_name(name) and (self.root / name).is_dir():
            for folder in (self.root / name).iterdir():
                if re.fullmatch("[0-9a-f]{16}", folder.name) and (folder / CARD).is_file():
                    created = (folder / CARD).stat().st_mtime
                    found.append(Stored(name, folder.name, folder, "uploaded", created))
        if not found:
            told = unknown_name("policy", name[:100], self.names())
            raise Problem(404, told, "GET /v1/policies lists them")
        return sorted(found, key=lambda each: (each.created, each.version), reverse=True)

    def find(self, key: str) -> Stored:
        """Return a version by `NAME@VERSION`, or the newest by `NAME`.

        Raises:
            Problem: there is no such policy.
        """
        if key in self._found:
            return self._found[key]
        name, _, version = key.partition("@")
        versions = self.versions(name)
        for each in versions:
            if version == each.version:
                self._found[key] = each  # a version never changes
            if version in ("", each.version):
                return each
        raise Problem(
            404,
            f"policy {name} has no version {shown(version)}",
            f"GET /v1/policies/{name}/versions lists them; the newest is {versions[0].version}",
        )

    def load(self, stored: Stored) -> LearnedPolicy:
        """Return the policy itself; the last ones that were asked for stay in memory."""
        with self._lock:
            policy = self._loaded.get(stored.key) or load_bundle(stored.folder)
            self._loaded[stored.key] = policy
            self._loaded.move_to_end(stored.key)
            if len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
        return policy

    def add(self, name: str, card: bytes, weights: bytes) -> tuple[Stored, bool]:
        """Take in a bundle; return the version, and whether it is new here.

        Raises:
            Problem: a name that is taken or none, a bundle that is none, or too many of them.
        """
        if not _is_name(name):
            raise Problem(
                422,
                f"a policy's name has lower-case letters, digits and ._- , got {shown(name)}",
                "choose another name",
            )
        if name in self._shipped:
            raise Problem(409, f"{name} is a policy of this release", "choose another name")
        check_bundle(card, weights, self.allow_code)
        folder = self.root / name / version_of(card, weights)
        new = not (folder / CARD).is_file()
        if new:
            if len(list(self.root.glob("*/*/" + CARD))) >= MOST_VERSIONS:
                raise Problem(
                    409,
                    f"the server keeps {MOST_VERSIONS} uploaded versions already",
                    f"ask who runs it to remove some from {self.root.name}/",
                )
            # The card last: a version is there once its card is.
            write_atomically(folder / WEIGHTS, weights)
            write_atomically(folder / CARD, card)
        return self.find(f"{name}@{folder.name}"), new


def _of_release() -> list[tuple[str, Path]]:
    return [(name, at) for name, at in list_policies().items() if _is_name(name)]


def _shipped(name: str, folder: Path) -> Stored:
    card, weights = ((folder / file).read_bytes() for file in (CARD, WEIGHTS))
    created = os.stat(folder / CARD).st_mtime
    return Stored(name, version_of(card, weights), folder, "shipped", created)


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME, text) is not None
