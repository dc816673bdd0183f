"""Policies that a server gave out, kept on this machine for when it is away."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from l2o.deciding.bundle import CARD, WEIGHTS, load_bundle
from l2o.deciding.learned import LearnedPolicy
from l2o.files.atomic import write_atomically
from l2o.integrations.remote.http import Client, RemoteError


def version_of(card: bytes, weights: bytes) -> str:
    """Return the version of a bundle: 16 digits of the hash of both files."""
    parts = hashlib.sha256(card).digest() + hashlib.sha256(weights).digest()
    return hashlib.sha256(parts).hexdigest()[:16]


def code_named(card: Mapping[str, Any]) -> str | None:
    """Return the first dotted path of a card that loading it would import, None if there is none.

    Example:
        >>> code_named({"signals": {"names": ["present", "mine:Signal"]}})
        'mine:Signal'
    """
    signals, interval = card.get("signals"), card.get("interval")
    names = signals.get("names") if isinstance(signals, Mapping) else None
    found = list(names) if isinstance(names, list) else []
    found += [interval.get("name")] if isinstance(interval, Mapping) else []
    return next((name for name in found if isinstance(name, str) and ":" in name), None)


class Bundles:
    """Fetches bundles, and keeps them by version.

    Args:
        client: asks the server.
        folder: where they are kept; None: `$L2O_CACHE/remote`, or `~/.cache/l2o/remote`.
    """

    def __init__(self, client: Client, folder: str | os.PathLike[str] | None = None) -> None:
        root = os.environ.get("L2O_CACHE") or Path.home() / ".cache" / "l2o"
        self.client = client
        self.folder = Path(folder) if folder is not None else Path(root).expanduser() / "remote"

    def get(self, name: str, seconds: float) -> tuple[str, LearnedPolicy]:
        """Return a policy's name with version, and the policy; as kept if the server is away.

        Args:
            name: NAME, or NAME@VERSION.
            seconds: that each request may take.

        Raises:
            RemoteError: the server is away and the policy was never fetched, or it has none.
            ValueError: what it gave is no policy, or names code.
        """
        try:
            told = self.client.ask("GET", f"/v1/policies/{quote(name, safe='@')}", None, seconds)
        except RemoteError as error:
            kept = self._kept(name) if error.again else None
            if kept is None:
                raise
            return kept
        if not isinstance(told, dict) or not re.fullmatch("[0-9a-f]{16}", str(told.get("version"))):
            raise RemoteError(f"{self.client.url} is no server of l2o: it describes no policy")
        version, short = told["version"], name.partition("@")[0]
        folder = self.folder / version
        if not (folder / CARD).is_file():
            self._fetch(f"{short}@{version}", version, folder, seconds)
        self._remember(name, version)
        return f"{short}@{version}", self._load(folder)

    def _fetch(self, key: str, version: str, folder: Path, seconds: float) -> None:
        path = f"/v1/policies/{quote(key, safe='@')}/files"
        weights = self.client.ask("GET", f"{path}/{WEIGHTS}", None, seconds)
        card = self.client.ask("GET", f"{path}/{CARD}", None, seconds)
        whole = isinstance(card, bytes) and isinstance(weights, bytes)
        if not whole or version_of(card, weights) != version:
            raise RemoteError(f"{self.client.url} gave another bundle than {key}; ask it again")
        # The card last: a bundle is there once its card is.
        write_atomically(folder / WEIGHTS, weights)
        write_atomically(folder / CARD, card)

    def _load(self, folder: Path) -> LearnedPolicy:
        card = json.loads((folder / CARD).read_bytes())
        if code := code_named(card):
            raise ValueError(
                f"the server's policy names code by its path, {code!r}, and code of a server is "
                "not run; copy the bundle and load it with l2o.load_policy if you trust it"
            )
        return load_bundle(folder)

    def _index(self, name: str) -> Path:
        digest = hashlib.sha256(f"{self.client.url} {name}".encode()).hexdigest()[:32]
        return self.folder / f"{digest}.version"

    def _remember(self, name: str, version: str) -> None:
        index = self._index(name)
        if not index.is_file() or index.read_text() != version:
            write_atomically(index, version)

    def _kept(self, name: str) -> tuple[str, LearnedPolicy] | None:
        index = self._index(name)
        version = index.read_text() if index.is_file() else name.partition("@")[2]
        folder = self.folder / version
        if not re.fullmatch("[0-9a-f]{16}", version) or not (folder / CARD).is_file():
            return None
        return f"{name.partition('@')[0]}@{version}", self._load(folder)
