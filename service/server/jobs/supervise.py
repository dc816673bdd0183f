"""Runs one command to its end and notes how it ended; imports nothing but Python's own.

A server starts it, in a session of its own, by its path: whatever becomes of the server, it waits
for the command and writes the exit code, which only a process's parent is told. It holds the job's
lock, and the command inherits it: while the lock is held, something of the job lives.

    python supervise.py FOLDER ATTEMPT COMMAND...
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

LOCK, PROCESS, EXIT, LOG = "lock", "process.json", "exit.json", "log.txt"
_TRIES, _PAUSE = 100, 0.05


def write(path: str, content: dict[str, float]) -> None:
    """Write a file whole: beside its place first, then moved."""
    beside = f"{path}.{os.getpid()}.part"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def take_lock(folder: str) -> int | None:
    """Return the descriptor of the job's lock, None where another process has it."""
    descriptor = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(_TRIES):  # whoever looks whether it is held holds it for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            time.sleep(_PAUSE)
    return None


def has_begun(folder: str, attempt: int) -> bool:
    """Tell whether another process began this attempt, for a server that was killed meanwhile."""
    try:
        with open(os.path.join(folder, PROCESS), encoding="utf-8") as file:
            return int(json.load(file)["attempt"]) >= attempt
    except (OSError, ValueError, LookupError):
        return False


def main(folder: str, attempt: int, command: list[str]) -> None:
    """Run the command; write `process.json` when it begins, `exit.json` when it has ended."""
    lock = take_lock(folder)
    if lock is None or has_begun(folder, attempt):
        return
    # With a handler, not ignored: what is ignored would be ignored by the command, too.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    begun = {"attempt": attempt, "pid": os.getpid(), "started": time.time()}
    write(os.path.join(folder, PROCESS), begun)
    try:
        with open(os.path.join(folder, LOG), "ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
            )
        code = child.wait()
    except OSError as error:
        with open(os.path.join(folder, LOG), "a", encoding="utf-8") as log:
            log.write(f"error: {error}\n")
        code = 127
    write(os.path.join(folder, EXIT), {"attempt": attempt, "code": code, "ended": time.time()})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
