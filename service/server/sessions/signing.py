"""States that clients keep: signed, so that what comes back is what was given out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from l2o.service.server.errors import Problem
from l2o.service.server.sessions.progress import Progress

KEY = "secret"
_REMEDY = "send the state of the last answer as it was, or open a new session"


class Signer:
    """Signs and checks states; the key lies in the data folder.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / KEY
        made = folder / f".{KEY}-{os.getpid()}"
        if not path.exists():
            # Linked once it is whole: of several processes one is first, and all read its key.
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(made, path)
            except FileExistsError:
                pass
            finally:
                made.unlink()
        self._key = path.read_bytes()

    def sign(self, opening: str, key: str, progress: Progress) -> str:
        """Return a state as the text that a client keeps."""
        parts = [key.encode(), opening.encode()]
        payload = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        payload += progress.to_bytes()
        return base64.urlsafe_b64encode(self._mac(payload) + payload).decode()

    def check(self, text: str) -> tuple[str, str, bytes]:
        """Return the policy's key, the opening as JSON, and the progress of a state.

        Raises:
            Problem: with status 422: it is none of this server's.
        """
        try:
            raw = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Problem(422, "state: it is no base64", _REMEDY) from error
        mac, payload = raw[:32], raw[32:]
        if len(raw) < 40 or not hmac.compare_digest(mac, self._mac(payload)):
            raise Problem(422, "state: it was not signed by this server, or changed", _REMEDY)
        key, rest = _part(payload)
        opening, rest = _part(rest)
        return key.decode(), opening.decode(), rest

    def _mac(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()


def _part(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "little")
    return data[4 : 4 + length], data[4 + length :]
