"""One trial: copy a folder, damage a file, have it read, and judge what came of it."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from l2o.envs.runtime.run_lock import OWNER
from l2o.service.damage.damages import DAMAGES, mended
from l2o.service.damage.kinds import CommandError, Kind
from l2o.service.damage.templates import Templates
from l2o.service.outcomes import exit_code

REFUSED, READ = "refused", "read"


@dataclass(frozen=True)
class Outcome:
    """What came of a damaged file.

    Attributes:
        kind: of the file.
        damage: what was done to it.
        ended: "refused" with a message, or "read" (as it was written, or made anew).
        said: the message.
        wrong: what should not have happened; empty if all is well.
    """

    kind: str
    damage: str
    ended: str
    said: str
    wrong: str


class Trials:
    """Damages copies of folders and judges what readers make of them.

    Args:
        templates: the whole folders.
        kinds: the kinds of file.
        scratch: an empty folder to work in.
    """

    def __init__(self, templates: Templates, kinds: dict[str, Kind], scratch: Path) -> None:
        self.templates, self.scratch, self.marker = templates, scratch, scratch / "executed"
        self.kinds = {name: kind for name, kind in kinds.items() if self._file(kind) is not None}
        self._expected: dict[str, Any] = {}
        self._library = [path.read_bytes() for path in templates.cache.glob("kernels/*.so")]

    def run(self, kind: str, damage: str, random: np.random.Generator) -> Outcome:
        """Damage a file of a kind in one way, and judge what came of it."""
        if kind not in self._expected:
            self._expected[kind] = self._read(kind, None, random)[1]
        return self._judge(kind, damage, *self._read(kind, damage, random))

    def _file(self, kind: Kind) -> Path | None:
        folder = self.templates.folder(kind.template)
        return next((path.relative_to(folder) for path in folder.glob(kind.file)), None)

    def _read(
        self, kind: str, damage: str | None, random: np.random.Generator
    ) -> tuple[BaseException | None, Any, str]:
        """Return the error, what was found, and what was lost while it was read."""
        made = self.kinds[kind]
        folder = self.scratch / made.template
        whole = self.templates.folder(made.template)
        shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("tensorboard"))
        path = folder / (self._file(made) or "")
        if damage is not None:
            DAMAGES[damage](path, random, self.marker)
        before = _snapshot(folder)
        error, found = None, None
        try:
            with self._settled(folder):
                found = made.read(folder, path)
        except Exception as raised:  # judged: which errors are right is what is tried here
            error = raised
        lost = _lost(before, _snapshot(folder), path, made, error is not None)
        mended(path)
        shutil.rmtree(folder)
        return error, found, lost

    @contextmanager
    def _settled(self, folder: Path) -> Iterator[None]:
        """Let the kernels' cache be the copy, compile them from memory, and keep warnings quiet."""
        from l2o.envs.stacked.kernels import library

        cache = patch.object(library, "cache_folder", lambda: folder)
        compiled = patch.object(library, "_compile", lambda compiler, source: self._library[0])
        with warnings.catch_warnings(), cache, compiled:
            warnings.simplefilter("ignore")
            yield

    def _judge(
        self, kind: str, damage: str, error: BaseException | None, found: Any, lost: str
    ) -> Outcome:
        made, said = self.kinds[kind], str(error or "")
        wrong = [lost] if lost else []
        if self.marker.exists():
            self.marker.rmdir()
            wrong.append("code in it was executed")
        if error is None:
            if damage == "missing" and not (made.optional or made.cache):
                wrong.append("its absence was passed over")
            elif found != self._expected[kind] and damage != "missing":
                wrong.append("it was read as something that was never written")
        else:
            wrong += _faults_of_message(error, (self._file(made) or Path()).name)
            if made.cache:
                wrong.append("a cache was refused instead of made anew")
        ended = READ if error is None else REFUSED
        return Outcome(kind, damage, ended, said, "; ".join(wrong))


def _faults_of_message(error: BaseException, name: str) -> list[str]:
    said = str(error)
    code: int | None
    if isinstance(error, CommandError):
        code, messages = error.code, said.count("error: ")
    elif isinstance(error, Exception):
        code, messages = exit_code(error), 1
    faults = []
    if code not in (1, 2):
        faults.append(f"{type(error).__name__} is a traceback: {said[:200]}")
    if messages != 1 or "Traceback" in said:
        faults.append(f"not one message: {said[:200]}")
    if name not in said:
        faults.append(f"the message does not name {name}: {said[:200]}")
    return faults


def _snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file's content, or its hash if that is long; by its path in the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                content = path.read_bytes()
            except PermissionError:
                content = b""
            long = len(content) > 100_000
            name = path.relative_to(folder).as_posix()
            found[name] = hashlib.sha256(content).digest() if long else content
    return found


def _lost(
    before: dict[str, bytes], after: dict[str, bytes], path: Path, kind: Kind, refused: bool
) -> str:
    """Return what of a run is no more as it was, though nothing was to change.

    A reader that goes on may cut a torn end off the damaged file, and writes what the run writes.
    """
    damaged = next((name for name in before if path.as_posix().endswith("/" + name)), "")
    for name, content in before.items():
        # A reader takes the lock and lets go of it, and makes damaged caches anew.
        if after.get(name) == content or name == OWNER or (kind.cache and name == damaged):
            continue
        if not refused and name == damaged and content.startswith(after.get(name, b"?")):
            continue
        written = kind.file.startswith("checkpoints") or name.startswith(("report", "figures"))
        if refused or not written:
            return f"{name} was changed"
    return ""
