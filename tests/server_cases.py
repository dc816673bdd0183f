"""A server in a process of its own, and what tests ask it."""

import http.client
import json
import os
import time
from pathlib import Path

from forked_commands import Forked

TOKEN, READER = "a-token-that-writes-0001", "a-token-that-reads-00001"


class Server:
    """`l2o serve` on a free port of the loopback; `stop()` ends it, `kill()` at once."""

    def __init__(self, folder, *options, wait=60.0):
        self.folder, self.options = Path(folder), options
        self.tokens = self.folder / "tokens"
        self.tokens.write_text(f"{TOKEN} write writer\n{READER} read reader\n")
        self.log = self.folder / "log"
        self.port = 0
        self.start(wait)

    def start(self, wait=60.0):
        command = ["serve", "--port", str(self.port)]
        command += ["--data", str(self.folder / "data"), "--token", str(self.tokens)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        begun = self.log.stat().st_size if self.log.exists() else 0
        self.process = Forked([*command, *self.options], self.log, environment)
        end = time.monotonic() + wait
        while True:
            assert self.process.poll() is None, self.log.read_text()
            if not self.log.exists():
                continue
            told = self.log.read_bytes()[begun:].split(b"\n")
            for line in told[:-1]:
                if b'"url"' in line:
                    self.port = int(json.loads(line)["url"].rpartition(":")[2])
            if self.port and self.alive():
                return
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def alive(self):
        try:
            return self.ask("GET", "/readyz", token=None)[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, token=TOKEN, headers=(), timeout=20.0):
        """Return status, and the answer as JSON if it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            sent = dict(headers)
            if token is not None:
                sent["Authorization"] = f"Bearer {token}"
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            data = answer.read()
            kind = answer.headers.get("content-type", "")
            self.headers = dict(answer.headers.items())
            return answer.status, json.loads(data) if data and "json" in kind else data
        finally:
            connection.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)
