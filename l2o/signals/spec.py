"""The signal spec: which signals, in which order, make an observation."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from l2o.registry import lookup
from l2o.signals import DEFAULT_SIGNALS, SIGNALS, Measurement, Quantity, Signal
from l2o.signals.encoding import Encoder

SIGNAL_VERSION = 1
"""Raised whenever a signal of the table changes its meaning or scale."""


@dataclass(frozen=True)
class SignalSpec:
    """The ordered signals of an observation `[..., L, F]`, and the version of their definitions.

    It is stored in a policy's card, so that a policy sees in deployment the numbers it was trained
    on. The first signal is always `present`.

    Args:
        names: keys of `l2o.signals.SIGNALS`, or dotted paths `package.module:Signal`.
        version: version of the definitions; another one than `SIGNAL_VERSION` is refused.

    Raises:
        ValueError: an unknown or repeated name, a first name that is not `present`, or a version
            that this release does not have.

    Example:
        >>> SignalSpec(("present", "is_head", "progress")).index("progress")
        2
    """

    names: tuple[str, ...] = DEFAULT_SIGNALS
    version: int = SIGNAL_VERSION
    _signals: tuple[Signal, ...] = field(init=False, repr=False, compare=False)
    _encoder: Encoder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if self.version != SIGNAL_VERSION:
            raise ValueError(
                f"signal version {self.version} is not the version {SIGNAL_VERSION} of this "
                "release of l2o; retrain or re-export the policy, or install the matching release"
            )
        if not self.names or self.names[0] != "present":
            raise ValueError(f"signals must begin with 'present', got {self.names[:1]}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"signals must not repeat, got {self.names}")
        kinds = tuple(lookup("signal", SIGNALS, name)() for name in self.names)
        object.__setattr__(self, "_signals", kinds)
        object.__setattr__(self, "_encoder", Encoder(kinds))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the feature's position; ValueError if the spec has no such signal."""
        return self.names.index(name)

    @property
    def needs(self) -> frozenset[Quantity]:
        """Union of the costly quantities that the signals read."""
        return frozenset().union(*(signal.needs for signal in self._signals))

    @property
    def limits(self) -> tuple[float, ...]:
        """Largest absolute value of each feature."""
        return tuple(signal.limit for signal in self._signals)

    def encode(self, measured: Measurement) -> Tensor:
        """Return the observation `[..., L, F]`, finite and clipped."""
        return self._encoder(measured)
