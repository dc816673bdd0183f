"""A server in a process of its own, that may be killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds that a server, or an answer, is waited for."""
_PAUSE = 0.05


class Served:
    """`l2o serve` on a port of the loopback, which stays the same when it is started again.

    Args:
        folder: for its data, token and log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.token = secrets.token_urlsafe(24)
        (folder / "tokens").write_text(f"{self.token} write study\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it; do not wait for it."""
        python = [sys.executable, *(["-P"] if sys.flags.safe_path else [])]
        command = [*python, "-m", "l2o", "serve", "--port", str(self.port)]
        command += ["--data", str(self.data), "--token", str(self.folder / "tokens")]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Stop it in good order; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def wait(self) -> float:
        """Wait until it answers; return the seconds that took.

        Raises:
            RuntimeError: it ended instead, or did not answer in time.
        """
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"the server ended by itself; see {self.folder / 'log'}")
            try:
                if self.ask_once("GET", "/readyz")[0] == 200:
                    return time.monotonic() - begun
            except OSError:
                time.sleep(_PAUSE)
        raise RuntimeError(f"the server did not answer within {PATIENCE:g} s")

    def ask_once(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer of one request.

        Raises:
            OSError: there was no answer, or half of one.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers: Mapping[str, str] = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(f"half an answer: {error}") from error
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of a request, asked until there is one.

        Raises:
            RuntimeError: there was none in time, or the server refuses the request.
        """
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                status, answer = self.ask_once(method, path, body)
            except OSError:
                time.sleep(_PAUSE)
                continue
            if status < 300:
                return answer
            if status != 503:
                raise RuntimeError(f"{method} {path}: {status}, {answer}")
            time.sleep(_PAUSE)
        raise RuntimeError(f"{method} {path} was not answered within {PATIENCE:g} s")
