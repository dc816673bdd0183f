"""Networks that are changed once they are loaded: `timm:resnet50+ibn-a`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from l2o.envs.networks.base import Library, Original, Request
from l2o.envs.networks.ibn import to_ibn
from l2o.envs.networks.own_networks import OwnLibrary
from l2o.registry import unknown_name

TRANSFORMATIONS: dict[str, Callable[[Any], nn.Module]] = {
    "ibn-a": partial(to_ibn, kind="a"),
    "ibn-b": partial(to_ibn, kind="b"),
}
"""By what stands behind the plus: what changes a network in place."""


class TransformedLibrary(Library):
    """A library whose networks are transformed after they have their weights.

    Args:
        library: whose networks.
        transformation: a key of `TRANSFORMATIONS`.

    Raises:
        ValueError: an unknown transformation.
    """

    def __init__(self, library: Library, transformation: str) -> None:
        if transformation not in TRANSFORMATIONS:
            raise ValueError(unknown_name("transformation", transformation, TRANSFORMATIONS))
        self.module = library.module  # type: ignore[misc]
        self._library, self._transformation = library, transformation

    def names(self) -> list[str]:
        """Return the library's names."""
        return self._library.names()

    def load(self, request: Request) -> Original:
        """Return a network of the library's, transformed.

        Raises:
            ValueError: as the library; or a network that cannot be transformed so.
        """
        architecture = request.architecture.partition("+")[0]
        original = self._library.load(replace(request, architecture=architecture))
        if original.dense is not None:
            raise ValueError(
                f"{request.name} classifies pixels, and only networks for whole images are "
                "transformed; take its backbone, with head fcn"
            )
        network: Any = original.network
        TRANSFORMATIONS[self._transformation](getattr(network, "network", network))
        return original

    def dilated(self, name: str, output_stride: int) -> dict[str, Any]:
        """Return what the library's builder must be told."""
        return self._library.dilated(name.partition("+")[0], output_stride)

    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network back: its library alone cannot."""
        return OwnLibrary().how_to_load(architecture, arguments, classes)
