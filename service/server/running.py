"""Running a server: its socket, its processes, and how it stops."""

from __future__ import annotations

import fcntl
import inspect
import logging
import os
import shutil
import signal
import socket
import sys
from typing import Any

import uvicorn

from l2o.checks import check_choice
from l2o.service.server.auth import load_tokens, token_file
from l2o.service.server.logs import begin_logging, log
from l2o.service.server.sessions.journal import lock
from l2o.service.server.settings import Settings

LEVELS = ("debug", "info", "warning", "error")
BACKLOG = 4096
STARTING = 120
"""Seconds that a process of several may say nothing."""
STOPPING = 15
"""Seconds that answers which are on their way are waited for."""


def run(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        ValueError: tokens, folder, address or log level that cannot be used.
    """
    check_choice("log_level", settings.log_level, LEVELS)
    settings.data.mkdir(parents=True, exist_ok=True)
    begin_logging(settings.log_level)
    load_tokens(settings)  # refused here, where the message is read
    os.close(lock(settings.data, fcntl.LOCK_EX))  # likewise
    bound = listen(settings.host, settings.port)
    port = bound.getsockname()[1]
    settings = settings.model_copy(update={"port": port})
    settings.hand_over()
    if settings.workers > 1:
        _share_metrics(settings)
    log(
        "listening",
        url=f"http://{_bracketed(settings.host)}:{port}",
        tokens=str(token_file(settings)),
        pid=os.getpid(),
    )
    # uvicorn passes a signal on once it has stopped: that is no failure then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config("l2o.service.server.app:create_app", **options(settings))
    if settings.workers > 1:
        from uvicorn.supervisors import Multiprocess

        # Older releases are told what their processes run.
        told = "target" in inspect.signature(Multiprocess).parameters
        more: dict[str, Any] = {"target": uvicorn.Server(config).run} if told else {}
        Multiprocess(config, sockets=[bound], **more).run()
        return
    # Ctrl-C is how a server ends.
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        logging.getLogger("l2o.service").debug("interrupted")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ValueError: the address is none of this machine's, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ValueError(
            f"cannot listen at {host}, port {port}: {error.strerror}; choose --host and --port"
        ) from error
    bound.listen(BACKLOG)  # who comes before the app is made waits
    bound.set_inheritable(True)
    return bound


def options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options."""
    known = inspect.signature(uvicorn.Config).parameters
    # A process that loads torch on a busy machine says nothing for a while: it is not dead.
    patience = "timeout_worker_healthcheck"
    more = {patience: STARTING} if patience in known else {}
    return {
        **more,
        "factory": True,
        "workers": settings.workers,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": STOPPING,
        "backlog": BACKLOG,
        "lifespan": "on",
        "http": "l2o.service.server.express:Express",
    }


def _share_metrics(settings: Settings) -> None:
    folder = settings.data / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
