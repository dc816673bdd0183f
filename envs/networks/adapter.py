"""What puts timm's convention on a network that has another one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

_WITHIN = "network."


class Adapter(nn.Module, ABC):
    """A library's own network, called by timm's convention.

    Parameters keep the names that they have in the library, behind `network.`; what is not the
    library's lies beside it.

    Args:
        network: the library's own.

    Attributes:
        aliases: children that hold parameters of `network` once more.
    """

    aliases: ClassVar[tuple[str, ...]] = ()

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # Any: libraries' networks differ in all that is not torch's.
        self.network: Any = network

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of images `[N, 3, H, W]`."""
        logits: Tensor = self.forward_head(self.forward_features(x))
        return logits

    @abstractmethod
    def forward_features(self, x: Tensor) -> Any:
        """Return what the head takes."""

    @abstractmethod
    def forward_head(self, features: Any) -> Tensor:
        """Return logits."""

    @abstractmethod
    def get_classifier(self) -> nn.Module:
        """Return the head."""


def own_names(network: nn.Module) -> dict[str, str]:
    """Return the names of a network's tensors -> those that its library has for them.

    Example:
        >>> own_names(nn.Linear(2, 1))
        {'weight': 'weight', 'bias': 'bias'}
    """
    aliases = tuple(f"{name}." for name in getattr(network, "aliases", ()))
    names = (name for name in network.state_dict() if not (aliases and name.startswith(aliases)))
    return {name: _strip(name) for name in names}


def own_state(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state dict in its library's names."""
    state = network.state_dict()
    return {theirs: state[name] for name, theirs in own_names(network).items()}


def load_own_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict in the library's names; all of it must be there, and nothing else."""
    # Of aliases it keeps what they are, and of modules the version of their layout.
    ours = network.state_dict()
    for name, theirs in own_names(network).items():
        ours[name] = state[theirs]
    for name in [name for name in ours if name not in own_names(network)]:
        del ours[name]
    missed = network.load_state_dict(ours, strict=False).missing_keys
    assert len(missed) == len(network.state_dict()) - len(ours)


def _strip(name: str) -> str:
    while name.startswith(_WITHIN):
        name = name.removeprefix(_WITHIN)
    return name
