"""A server in a process of its own, to be asked, measured and killed."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from l2o.integrations.remote.http import Client

TOKEN = "token-of-a-measurement"
STARTING = 120.0
"""Seconds within which a server must be ready, on a machine that is busy otherwise."""


class ServerProcess:
    """`l2o serve` at a free port of the loopback; the same port again after `start`.

    Args:
        folder: of data, tokens and log.
        settings: `key=value` of limits to change.
        workers: processes that answer.

    Raises:
        RuntimeError: it does not start; the message is the end of its log.
    """

    def __init__(self, folder: Path, *settings: str, workers: int = 1) -> None:
        self.folder, self.settings, self.workers = folder, settings, workers
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens").write_text(f"{TOKEN} write measurement\n")
        self.log = folder / "log"
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """The file of its database."""
        return self.folder / "data" / "service.db"

    def client(self, timeout: float = 30.0) -> Client:
        """Return what asks it."""
        return Client(self.url, TOKEN, timeout)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "l2o", "serve", "--port", str(self.port)]
        command += ["--data", str(self.folder / "data"), "--token", str(self.folder / "tokens")]
        command += ["--workers", str(self.workers), "--log-level", "warning", *self.settings]
        if not self.port:
            command[command.index("warning")] = "info"  # which tells the port
        with self.log.open("ab") as log:
            self._begun = log.tell()
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it does not start; the message is the end of its log.
        """
        end = time.monotonic() + STARTING
        while not (self._known(self._begun) and self._ready()):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _known(self, begun: int) -> bool:
        """Tell whether the port is known."""
        for line in self.log.read_bytes()[begun:].split(b"\n")[:-1]:
            if not self.port and b'"url"' in line:
                self.port = int(json.loads(line)["url"].rpartition(":")[2])
        return bool(self.port)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill it, as a machine that is out of memory does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Let it end; return its exit code."""
        self._process.terminate()
        return self._process.wait(60)

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds; 0 where the system does not tell."""
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.is_file():
            return 0
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return 1024 * int(line.split()[1])

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has taken; 0 where the system does not tell."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        if not stat.is_file():
            return 0.0
        told = stat.read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()
