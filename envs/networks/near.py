"""The error for an architecture that a library does not have."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def unknown_architecture(library: str, name: str, known: Sequence[str], listing: str) -> str:
    """Word the error for an unknown architecture: the nearest names, and where all are listed.

    Args:
        library: a key of `LIBRARIES`.
        name: what was asked for.
        known: what there is; too many to show.
        listing: what lists them.

    Example:
        >>> unknown_architecture("timm", "resnet5O", ["resnet50"], "timm.list_models()")
        "unknown network 'timm:resnet5O'. Did you mean 'timm:resnet50'? timm.list_models() ..."
    """
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    shown = " or ".join(repr(f"{library}:{each}") for each in near)
    hint = f" Did you mean {shown}?" if near else ""
    return f"unknown network '{library}:{name}'.{hint} {listing} lists all {len(known)} there are."
