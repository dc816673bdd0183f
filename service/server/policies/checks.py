"""What an uploaded bundle must be before anything of it is used."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from l2o.deciding.architectures import make_network
from l2o.deciding.bundle import CARD, WEIGHTS, BundleError, load_bundle
from l2o.integrations.remote.bundles import code_named
from l2o.service.server.errors import Problem, shown

MOST_SIZE, MOST_PARTS = 65_536, 1_024
"""Largest width of a network, and most parts that it may be made of (layer groups, scalars)."""
MOST_CARD = 1 << 20
"""Bytes of the largest card."""
REMEDY = "upload card.json and policy.safetensors as l2o.save_policy wrote them"


def check_bundle(card: bytes, weights: bytes, allow_code: bool = False) -> None:
    """Refuse what is no policy, without importing or making what the card asks for.

    Raises:
        Problem: with status 422, or 403 for a card that names code of somebody's own.
    """
    if len(card) > MOST_CARD:
        raise Problem(413, f"the card has {len(card)} bytes, at most {MOST_CARD} are read", REMEDY)
    try:
        told = json.loads(card)
    except (ValueError, RecursionError) as error:
        raise Problem(422, f"card.json is no JSON: {shown(str(error))}", REMEDY) from error
    if not isinstance(told, dict):
        raise Problem(422, f"card.json must be an object, got {type(told).__name__}", REMEDY)
    if not allow_code and (code := code_named(told)):
        raise Problem(
            403,
            f"the card names code by its path: {shown(code)}",
            "ask who runs the server to start it with --allow-code",
        )
    _check_size(told.get("architecture"), weights)
    with TemporaryDirectory() as folder:
        Path(folder, CARD).write_bytes(card)
        Path(folder, WEIGHTS).write_bytes(weights)
        try:
            load_bundle(folder)
        except (BundleError, ValueError, RecursionError) as error:
            raise Problem(422, str(error).replace(f"{folder}/", ""), REMEDY) from error


def _check_size(architecture: Any, weights: bytes) -> None:
    """Refuse a network that takes more memory than the file of its weights."""
    if not isinstance(architecture, dict):
        raise Problem(422, "the card has no architecture", REMEDY)
    for name, value in architecture.items():
        most = MOST_PARTS if name in ("groups", "scalars") else MOST_SIZE
        if isinstance(value, int | float) and not 0 <= value <= most:
            raise Problem(422, f"architecture.{name} must lie in 0...{most}, got {value}", REMEDY)
    try:
        network = make_network(architecture, device="meta")
        tensors = load_tensors(weights)
    except (SafetensorError, ValueError, TypeError, RuntimeError, KeyError, OverflowError) as error:
        raise Problem(422, f"this is no policy that l2o can run: {error}", REMEDY) from error
    needed = sum(p.numel() for p in network.state_dict().values())
    there = sum(t.numel() for t in tensors.values())
    if needed != there:
        raise Problem(422, f"the network has {needed} numbers, the file {there}", REMEDY)
