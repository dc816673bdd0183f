"""How masks are coded: what a pixel's value means, and how files are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from l2o.envs.tasks.images.decoding import CorruptImageError, decode_labels
from l2o.envs.tasks.images.scale_crop_mirror import IGNORED

_VALUES = 2**16
_WRONG = -1


@dataclass(frozen=True)
class MaskCoding:
    """What the values of a mask's pixels mean.

    Attributes:
        values: value -> class.
        others: what any other value means: 255 counts nowhere, None is an error.
        decode: path -> values `[H, W]`.

    Raises:
        ValueError: a value or a class that is none.

    Example:
        >>> MaskCoding({7: 0, 8: 1}, others=255).encode(np.array([[7, 8, 9]]), "mask.png")
        array([[  0,   1, 255]], dtype=uint8)
    """

    values: Mapping[int, int]
    others: int | None = None
    decode: Callable[[str], np.ndarray] = field(default=decode_labels, repr=False)

    def __post_init__(self) -> None:
        for value, label in self.values.items():
            if not 0 <= value < _VALUES or not 0 <= label <= IGNORED:
                raise ValueError(
                    f"values maps {value!r} to {label!r}; values of pixels are 0 to {_VALUES - 1}, "
                    f"classes 0 to {IGNORED - 1}, and {IGNORED} counts nowhere"
                )
        table = np.full(_VALUES, _WRONG if self.others is None else self.others, dtype=np.int16)
        for value, label in self.values.items():
            table[value] = label
        object.__setattr__(self, "_table", table)

    def read(self, path: str) -> np.ndarray:
        """Return the classes of a mask's pixels, uint8 `[H, W]`.

        Raises:
            CorruptImageError: it cannot be read, or has a value that means nothing.
        """
        return self.encode(self.decode(path), path)

    def encode(self, pixels: np.ndarray, path: str) -> np.ndarray:
        """Return the classes of values.

        Raises:
            CorruptImageError: one means nothing; the message has the mask's path.
        """
        table: np.ndarray = vars(self)["_table"]
        wide = pixels if pixels.dtype in (np.uint8, np.uint16) else np.clip(pixels, 0, _VALUES - 1)
        labels = table[wide]
        if self.others is None and labels.min(initial=0) == _WRONG:
            place = np.argwhere(labels == _WRONG)[0]
            known = sorted(self.values)
            told = ", ".join(map(str, known[:12])) + (", ..." if len(known) > 12 else "")
            raise CorruptImageError(
                f"{path} has the value {pixels[tuple(place)]} at row {place[0]}, column "
                f"{place[1]}, which is no class; values are {told}. Say what "
                f"it means (values={{...}}), or which value counts nowhere (ignore=...)"
            )
        return labels.astype(np.uint8)

    def told(self) -> list[Any]:
        """Return the coding as plain data, for keys and cards."""
        pairs = [[value, label] for value, label in sorted(self.values.items())]
        return [*pairs, self.others, getattr(self.decode, "__name__", "")]


def coding_of(classes: Sequence[str], ignore: int = IGNORED) -> MaskCoding:
    """Return the coding whose values are the classes, but for one that counts nowhere."""
    return MaskCoding({**{number: number for number in range(len(classes))}, ignore: IGNORED})
