"""Ctrl-C at moments that can bear it: noted when it comes, raised where the code asks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NOTICE = b"\nStopping at the next safe moment; Ctrl-C again stops at once.\n"


class _State:
    came = False
    raised = False


_state = _State()


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Note Ctrl-C instead of raising it anywhere; `check_interrupts` raises it.

    Python raises KeyboardInterrupt between any two instructions, also in the midst of a library's
    `with lock:`, whose lock then stays taken: a thread that waits for it (of TensorBoard's writer,
    of a process pool) never ends, and neither does the program. What runs inside therefore asks
    for interrupts while it waits and between two steps, where nothing is held.

    A terminal's Ctrl-C goes to worker processes as well, and those that are just starting die of
    it: a connection that breaks after Ctrl-C was noted is raised as that Ctrl-C.

    A second Ctrl-C is raised at once. Nothing changes outside the main thread, inside another such
    block, and where somebody else handles SIGINT. At the latest the end of the block raises what
    was noted, unless another error is on its way.

    Raises:
        KeyboardInterrupt: Ctrl-C came, and nobody asked for it.

    Example:
        >>> with deferred_interrupts():
        ...     check_interrupts()
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _state.came = _state.raised = False
    signal.signal(signal.SIGINT, _note)
    try:
        yield
        check_interrupts()
    except (ConnectionError, EOFError):
        check_interrupts()
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def check_interrupts() -> None:
    """Raise the Ctrl-C that was noted, if one was.

    Raises:
        KeyboardInterrupt: Ctrl-C came since `deferred_interrupts` began; raised once.
    """
    if _state.came and not _state.raised:
        _state.raised = True
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    if _state.came:
        signal.default_int_handler(number, frame)
    _state.came = True
    # Not sys.stderr: the signal may have come while something is being written there.
    if os.isatty(2):
        os.write(2, NOTICE)
