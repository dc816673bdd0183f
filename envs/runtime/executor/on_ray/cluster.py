"""Which cluster a program is connected to: found, reached in time, and quiet."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from l2o.extras import require

LOCAL, AUTO = "local", "auto"
STARTING = 300.0
"""Seconds that a node of this machine is given to start: Ray's 30 are too few for a busy one."""

logger = logging.getLogger("l2o")


class NoClusterError(ConnectionError, ValueError):
    """Nobody answers at the address of a cluster; the message names it, and what to do."""


def connect(address: str | None = None, timeout: float = 30.0, who: str = "executor: ray") -> None:
    """Connect this program to a cluster, unless it is connected; it stays so until it ends.

    Args:
        address: `HOST:PORT` of a cluster's head, `ray://HOST:PORT` of its client server, `auto`
            for the cluster that this machine belongs to, `local` for one of this machine's cores
            that is started and ends with the program; None takes `$RAY_ADDRESS`, else `local`.
        timeout: seconds that the address is given to answer.
        who: what needs Ray, for the error that says how to install it.

    Raises:
        MissingExtraError: Ray is not installed.
        NoClusterError: nobody answered in time.
        ValueError: the program is connected to another cluster.
    """
    require(who, "ray")
    import ray

    wanted = address or os.environ.get("RAY_ADDRESS") or LOCAL
    if ray.is_initialized():
        _refuse_another(wanted)
        return
    if wanted not in (LOCAL, AUTO):
        _wait_for_port(wanted, timeout)
    with _undisturbed():
        try:
            _begin(wanted, timeout)
        except ConnectionError as error:
            raise NoClusterError(_nobody(wanted, timeout, str(error))) from error


def usable_cpus() -> int:
    """Return the CPUs of the cluster that this program is connected to, at least 1."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _begin(wanted: str, timeout: float) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if wanted == LOCAL:
        # The variable would win over the argument.
        with patient_starts():
            ray.init(address=LOCAL, include_dashboard=False, **quiet)
        return
    answered = threading.Event()
    threading.Thread(target=_give_up, args=(answered, wanted, timeout), daemon=True).start()
    try:
        ray.init(address=wanted, **quiet)
    finally:
        answered.set()


@contextmanager
def patient_starts(seconds: float = STARTING) -> Iterator[None]:
    """Let nodes that are started meanwhile take their time.

    Ray looks for a node that it has started in a loop, whose bound is written into it; the look
    itself waits here. Its agents have a bound in the environment. So has what else is about nodes
    of this machine: their workers are as nice as this program, where Ray makes them so nice (15)
    that whatever else is at work comes before them.
    """
    from ray._private import services

    look = services.get_node
    wanted = {
        "RAY_agent_register_timeout_ms": str(int(1000 * seconds)),
        "RAY_worker_niceness": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}

    def wait(*given: Any) -> Any:
        until = time.monotonic() + seconds
        while True:
            try:
                return look(*given)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    services.get_node = wait
    # What is set already is somebody's choice.
    os.environ.update({name: each for name, each in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        services.get_node = look
        for name in wanted:
            if before[name] is None:
                del os.environ[name]


def _give_up(answered: threading.Event, wanted: str, timeout: float) -> None:
    """End a program whose cluster does not answer: what is stuck there hears no exception."""
    if not answered.wait(2 * timeout + 30):
        os.write(2, f"error: {_nobody(wanted, timeout, 'it stopped answering')}\n".encode())
        os._exit(2)


def _wait_for_port(wanted: str, timeout: float) -> None:
    """Return once somebody listens at an address.

    Raises:
        NoClusterError: nobody does within the timeout, or the address is none.
    """
    host, _, port = wanted.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise NoClusterError(
            f"ray.address={wanted!r} is no address; write HOST:PORT, as `ray start --head` says "
            f"it, ray://HOST:PORT, {AUTO} or {LOCAL}"
        )
    until = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, int(port)), max(0.1, until - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() + 0.5 > until:
                raise NoClusterError(_nobody(wanted, timeout, str(error))) from error
            time.sleep(0.5)


def _nobody(wanted: str, timeout: float, reason: str) -> str:
    reason = " ".join(reason.split())[:200]
    if wanted == AUTO:
        return (
            "ray.address=auto: no Ray cluster runs on this machine; start one with `ray start "
            f"--head`, or take ray.address=local ({reason})"
        )
    return (
        f"ray.address={wanted}: no Ray cluster answered within {timeout:g} seconds ({reason}); is "
        "its head running (`ray start --head`), and its port open? ray.address=local needs none"
    )


def _refuse_another(wanted: str) -> None:
    """Raise ValueError where a program is connected to another cluster than it is to be."""
    import ray

    if wanted in (LOCAL, AUTO) or "://" in wanted:
        return
    connected = ray.get_runtime_context().gcs_address
    host, _, port = wanted.rpartition(":")
    hosts = {host, socket.gethostbyname(host)} if port == connected.rpartition(":")[2] else set()
    if not hosts & {connected.rpartition(":")[0], "127.0.0.1"}:
        raise ValueError(
            f"ray.address={wanted}: this program is connected to {connected}; a program has one "
            "cluster (ray.shutdown() leaves it)"
        )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave signal handlers as they are, and keep what Ray's daemons say out of the output."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if main and before is not None:
            signal.signal(signal.SIGTERM, before)
        _hush()


def _hush() -> None:
    """Send what Ray's daemons print on a driver's stdout to the log instead, at level debug."""
    import ray._private.worker as worker

    def note(data: dict[str, Any], ignore_prefix: bool = False) -> None:
        logger.debug("ray: %s", "\n".join(map(str, data.get("lines", ()))))

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = note
