"""Policy bundles: a learned policy as `policy.safetensors` and `card.json`, nothing pickled."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from l2o.deciding.architectures import make_network, make_policy
from l2o.deciding.learned import LearnedPolicy
from l2o.files.atomic import DamagedFileError, read_bytes, write_atomically
from l2o.files.seals import open_json, seal_json
from l2o.intervals.plain import as_known_interval, as_plain
from l2o.networks.base import PolicyNetwork
from l2o.networks.multipliers import multipliers_from_dict
from l2o.registry import unknown_name
from l2o.signals.spec import SignalSpec

BUNDLE_FORMAT = 1
"""Version of the bundle's layout."""
WEIGHTS, CARD = "policy.safetensors", "card.json"
SEARCH_PATH = "L2O_POLICY_PATH"
"""Environment variable: folders (joined as in PATH) searched for policies by name, first."""


SEAL = "card_sha256"
"""The card's own seal (`l2o.files.seals`); its `sha256` is that of the weights."""
_FIELDS = ("format", "architecture", "signals", "multipliers")
_REMEDY = "copy the bundle again"

_UNFIT = (
    *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError),
    *(RuntimeError, MemoryError, SafetensorError),
)
"""What a card that is none of ours makes of itself."""


class BundleError(ValueError):
    """A policy bundle that cannot be used; the message names file, reason and remedy."""


def save_policy(folder: str | Path, policy: LearnedPolicy, about: Mapping[str, Any]) -> Path:
    """Write a policy bundle.

    Args:
        folder: made if missing; an existing bundle there is replaced, weights first.
        policy: what to save.
        about: JSON-able facts for the card: name, training config, task family, seeds, results.

    Returns:
        The folder.
    """
    folder = Path(folder)
    weights = save_tensors(
        {key: value.detach().contiguous() for key, value in policy.network.state_dict().items()}
    )
    card = {
        **about,
        "format": BUNDLE_FORMAT,
        "architecture": policy.network.architecture(),
        "signals": {"names": list(policy.signals.names), "version": policy.signals.version},
        "multipliers": policy.multipliers.to_dict(),
        "interval": as_plain(policy.interval),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    if policy.guidance_actions:
        card["guidance_actions"] = list(policy.guidance_actions)
    card.setdefault("licence", "Apache-2.0")
    write_atomically(folder / WEIGHTS, weights)
    sealed = seal_json(card, SEAL)
    write_atomically(folder / CARD, json.dumps(sealed, indent=2, allow_nan=False) + "\n")
    return folder


def load_bundle(source: str | Path) -> LearnedPolicy:
    """Load a policy by the name of a shipped one, or from a bundle's folder.

    Raises:
        BundleError: no such policy, or a bundle that is damaged, foreign or of a newer format.

    Example:
        >>> load_bundle("no-such-policy")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        l2o.deciding.bundle.BundleError: unknown policy 'no-such-policy'...
    """
    folder = find_bundle(source)
    card = read_card(folder)
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != card.get("sha256"):
        raise BundleError(
            f"{folder / WEIGHTS} does not have the sha256 that {CARD} states: the weights are "
            "damaged or belong to another card; copy the bundle again, both files together"
        )
    try:
        policy = make_policy(
            _with_weights(card["architecture"], load_tensors(weights)),
            multipliers_from_dict(card["multipliers"]),
            SignalSpec(tuple(card["signals"]["names"]), card["signals"]["version"]),
            as_known_interval(card["interval"]),
            _names(card.get("guidance_actions", [])),
        )
    except _UNFIT as error:
        raise BundleError(f"{folder}: this is no policy that l2o can run: {error}") from error
    return policy


def _with_weights(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PolicyNetwork:
    # What a constructor draws would be overwritten, but the user's random numbers were used up.
    network = make_network(architecture, device="meta").to_empty(device="cpu")
    network.load_state_dict(tensors)
    return network


def _names(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"guidance_actions must be a list of names, got {given!r:.100}")
    return tuple(given)


def read_card(source: str | Path) -> dict[str, Any]:
    """Return a bundle's card.

    Raises:
        BundleError: unreadable, not a card, or of a newer format.
    """
    path = find_bundle(source) / CARD
    try:
        card = open_json(path, _read(path), _REMEDY, SEAL)
    except DamagedFileError as error:
        raise BundleError(str(error)) from error
    written = card.get("format", BUNDLE_FORMAT)
    if not isinstance(written, int) or written > BUNDLE_FORMAT:
        raise BundleError(
            f"{path} has format {written}, this release of l2o reads up to {BUNDLE_FORMAT}; "
            "upgrade l2o"
        )
    lacking = [field for field in _FIELDS if field not in card]
    if lacking:
        raise BundleError(f"{path} is not the card of a policy: it has no {lacking[0]!r}")
    return card


def list_policies() -> dict[str, Path]:
    """Return the policies that can be loaded by name, with their folders."""
    found: dict[str, Path] = {}
    for root in _search_path():
        if root.is_dir():
            for card in sorted(root.glob(f"*/{CARD}")):
                found.setdefault(card.parent.name, card.parent)
    return found


def find_bundle(source: str | Path) -> Path:
    """Return the folder of a bundle, given that folder or a policy's name."""
    path = Path(source)
    if (path / CARD).is_file():
        return path
    known = list_policies()
    if str(source) in known:
        return known[str(source)]
    if path.is_dir():
        raise BundleError(
            f"{path} holds no {CARD}; a policy bundle is a folder with {WEIGHTS} and {CARD}"
        )
    raise BundleError(unknown_name("policy", str(source), known) + " Or pass a bundle's folder.")


def _search_path() -> list[Path]:
    roots = [Path(part) for part in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if part]
    # Located, not imported: importing l2o.policies would pull in what only training needs.
    spec = importlib.util.find_spec("l2o.policies")
    for location in (spec.submodule_search_locations if spec else None) or []:
        roots.append(Path(location) / "zoo")
    return roots


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, _REMEDY)
    except DamagedFileError as error:
        raise BundleError(str(error)) from error
