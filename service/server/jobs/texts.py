"""Every text in a config, wherever it lies: what code and paths hide in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from l2o.envs.networks import LIBRARIES

_NETWORK = re.compile(
    rf"(?:{'|'.join(map(re.escape, sorted(LIBRARIES)))}):"
    r"(?:hf[-_]hub:)?(?!\.)[\w.-]+(?:/(?!\.)[\w.-]+)*(?:@[\w.-]+)?"
)
_PACKAGE = re.compile(r"package:[\w.-]+")
_DEVICE = re.compile(r"cuda:\d+")


class Text(NamedTuple):
    """A text in a config: where it is, what it says, and whether it is a key there."""

    place: tuple[str, ...]
    text: str
    is_key: bool

    @property
    def field(self) -> str:
        """Its place as overrides write it."""
        return ".".join(self.place)

    @property
    def is_plain(self) -> bool:
        """Whether its place takes neither code nor paths, or it names what is no file of ours.

        A network of a library, weights in a package, a device; the regular expressions by which
        parameters are grouped; words that are only shown, such as a label.
        """
        if self.is_key:
            return False
        last = self.place[-1]
        if last == "network":
            return bool(_NETWORK.fullmatch(self.text))
        if last == "weights":
            return bool(_PACKAGE.fullmatch(self.text))
        if last == "device":
            return bool(_DEVICE.fullmatch(self.text))
        shown = last in ("label", "title") or self.place == ("name",)
        return shown or self.place[0] == "groups"


def texts(data: Any, place: tuple[str, ...] = ()) -> Iterator[Text]:
    """Yield every text in plain data, keys of mappings among them.

    Example:
        >>> [text.field for text in texts({"a": [{"b": "c"}]})]
        ['a', 'a.0.b', 'a.0.b']
    """
    if isinstance(data, str):
        yield Text(place, data, False)
    elif isinstance(data, dict):
        for key, value in data.items():
            yield Text((*place, str(key)), str(key), True)
            yield from texts(value, (*place, str(key)))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from texts(value, (*place, str(number)))
