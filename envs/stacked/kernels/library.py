"""The shared library of the kernels: compiled once for this machine, then loaded from the cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from l2o.envs.runtime.cache_folder import cache_folder
from l2o.files.atomic import write_atomically

logger = logging.getLogger("l2o")

DTYPES = {torch.float32: "float", torch.float64: "double"}
"""Types of numbers that there are kernels for -> their name in the library."""

SWITCH = "L2O_KERNELS"
"""Environment variable; 0 leaves the kernels out."""

_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = (
    "-O3",
    "-std=c++17",
    "-ffp-contract=fast",
    "-fno-exceptions",
    "-fno-rtti",
    "-fPIC",
    "-shared",
)
_SECONDS = 300


def load_kernels() -> ctypes.CDLL | None:
    """Return the kernels, compiled if need be, or None where they cannot be had.

    Nothing depends on them: without a compiler torch's own operations do the work, more slowly.
    `why_no_kernels` tells the reason.
    """
    return _load()[0]


def why_no_kernels() -> str:
    """Return why there are no kernels; empty where there are."""
    return _load()[1]


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get(SWITCH) == "0":
        return None, f"{SWITCH}=0"
    try:
        return _declared(open_library()), ""
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        logger.info("l2o: no kernels, stacked convolutions run in torch: %s", error)
        return None, str(error)


def kernel(name: str, dtype: torch.dtype | None = None) -> Any:
    """Return a function of the library, for numbers of this type.

    Raises:
        RuntimeError: there are no kernels, or none for this type.
    """
    library = load_kernels()
    if library is None:
        raise RuntimeError(f"there are no kernels: {why_no_kernels()}")
    if dtype is not None and dtype not in DTYPES:
        raise RuntimeError(f"there are kernels for {', '.join(map(str, DTYPES))}, not for {dtype}")
    return getattr(library, f"l2o_{name}" if dtype is None else f"l2o_{name}_{DTYPES[dtype]}")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_long
    library.l2o_scratch.argtypes, library.l2o_scratch.restype = [pointer, number], number
    arguments = {
        "forward": [pointer, pointer, number, pointer, number, number],
        "backward": [pointer, pointer, number, *[pointer] * 3, number, number],
        "gather": [pointer, pointer, pointer, number, number, number],
    }
    for way, types in arguments.items():
        for name in DTYPES.values():
            function = getattr(library, f"l2o_{way}_{name}")
            function.argtypes, function.restype = types, None
    return library


def open_library() -> ctypes.CDLL:
    """Load the library from the cache, or compile it and put it there.

    A file's name holds what the library depends on, and the hash of its content: what is not as it
    was written is never loaded (a library that was cut kills the process that loads it), and
    processes that compile at once write whole files, of one name if they are alike.
    """
    source = resources.files(__package__).joinpath("convolution.cpp").read_bytes()
    compiler = _compiler()
    version = _run([compiler, "--version"])
    facts = "\n".join([compiler, version, *_FLAGS, platform.machine(), _processor()])
    key = hashlib.sha256(source + facts.encode()).hexdigest()[:16]
    folder = cache_folder() / "kernels"
    for path in sorted(folder.glob(f"convolution-{key}-*.so")):
        if _is_whole(path):
            with suppress(OSError):  # of a machine that shares the folder and is not alike
                return ctypes.CDLL(str(path))
    return _loaded(_compile(compiler, source), folder, key)


def _is_whole(path: Path) -> bool:
    """Tell whether a library is what was written; remove it if it is not."""
    with suppress(OSError):
        if _digest(path.read_bytes()) == path.stem.rpartition("-")[2]:
            return True
    logger.info("l2o: the kernels in %s are damaged; compiled anew", path)
    with suppress(OSError):
        path.unlink()
    return False


def _loaded(library: bytes, folder: Path, key: str) -> ctypes.CDLL:
    """Load a library that was just compiled, from the cache if it can be written."""
    path = folder / f"convolution-{key}-{_digest(library)}.so"
    try:
        write_atomically(path, library)
    except OSError as error:
        logger.info("l2o: the kernels cannot be cached: %s", error)
        with tempfile.TemporaryDirectory() as own:
            path = Path(own) / path.name
            path.write_bytes(library)
            return ctypes.CDLL(str(path))
    return ctypes.CDLL(str(path))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else _COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError(
        f"no C++ compiler ({wanted or ', '.join(_COMPILERS)}); install one, or name it in CXX"
    )


def _compile(compiler: str, source: bytes) -> bytes:
    # For this very processor; a compiler that does not know how compiles for any of its kind.
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder) / "convolution.cpp", Path(folder) / "convolution.so"
        code.write_bytes(source)
        command = [compiler, *_FLAGS, str(code), "-o", str(library)]
        try:
            _run([*command, native])
        except RuntimeError:
            _run(command)
        return library.read_bytes()


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _processor() -> str:
    """Return what tells processors of one kind apart, since a home folder may serve several."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    known = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join(sorted(set(known)))
