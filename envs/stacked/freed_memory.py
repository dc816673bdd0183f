"""Keeping freed memory in the process, where the C library would give it back at once."""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_BYTES = 1 << 30


@functools.cache
def keep_heap() -> bool:
    """Tell glibc to keep freed blocks for the next step; return whether it will.

    Stacked activations are blocks of megabytes. By default each is mapped, faulted in page by page
    and unmapped again, on every step: a quarter of the time. Elsewhere than on glibc nothing is
    done. What the process has once used it then keeps until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _BYTES) and mallopt(_MMAP_THRESHOLD, _BYTES))
