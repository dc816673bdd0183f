"""Commands of ours as processes of their own, forked from one that has loaded what they import."""

import atexit
import json
import os
import signal
import subprocess
import sys
import time

PARENT = """
import importlib, json, os, runpy, sys

for name in MODULES:
    importlib.import_module(name)
for line in sys.stdin:
    asked = json.loads(line)
    if "argv" not in asked:
        found, status = os.waitpid(asked["pid"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if found else "", flush=True)
        continue
    child = os.fork()
    if child == 0:
        break
    print(child, flush=True)
else:
    sys.exit()

# From here on it is the command's own process.
os.environ.clear()
os.environ.update(asked["environment"])
log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
empty = os.open(os.devnull, os.O_RDONLY)
for handle in (1, 2):
    os.dup2(log, handle)
os.dup2(empty, 0)
sys.argv[:] = ["l2o", *asked["argv"]]
runpy.run_module("l2o", run_name="__main__", alter_sys=True)
"""
SERVER = ("torch", "torch._dynamo", "uvloop", "l2o.service.cli", "l2o.service.server.app")
SERVER += ("l2o.service.server.express", "l2o.service.server.running")


class Parent:
    """The process that has loaded everything; it ends with the tests."""

    def __init__(self):
        script = f"MODULES = {SERVER!r}\n{PARENT}"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def ask(self, **asked):
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()


class Forked:
    """A command that runs; it can be asked and ended as a `subprocess.Popen` can."""

    parent = None

    def __init__(self, argv, log, environment=None):
        if Forked.parent is None:
            Forked.parent = Parent()
        environment = dict(os.environ if environment is None else environment)
        told = Forked.parent.ask(argv=list(argv), log=str(log), environment=environment)
        self.pid, self.returncode = int(told), None

    def poll(self):
        if self.returncode is None:
            told = Forked.parent.ask(pid=self.pid)
            self.returncode = int(told) if told else None
        return self.returncode

    def wait(self, timeout=60.0):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)
