"""Weights from a hub: what cannot be had says how to give a local file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fetched(name: str) -> Iterator[None]:
    """Turn whatever a hub's client raises into one error with the remedy.

    Args:
        name: of the network.

    Raises:
        ValueError: something within raised.

    Example:
        >>> with fetched("timm:resnet50"):
        ...     weights = {}
    """
    try:
        yield
    except (KeyboardInterrupt, TypeError):
        raise
    except Exception as error:  # their clients have many kinds, not all of them of OSError
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the weights of {name} cannot be had from the hub ({type(error).__name__}: "
            f"{told:.200}); check the network connection, or give a local file: weights=PATH"
        ) from error
