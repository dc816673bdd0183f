"""Step hooks of an optimizer among which one comes last, whenever the others were registered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class LastHook(OrderedDict[int, Callable[..., Any]]):
    """Stands in for an optimizer's dict of step hooks, and adds one at the end.

    torch runs hooks in the order in which they were registered. What a user registers later, to
    set a learning rate or to clip per param group, must act before the multipliers do.

    Args:
        hooks: the dict that it stands in for. Handles made with that one still remove theirs.
        last: the hook that comes after all others.

    Example:
        >>> hooks = LastHook(OrderedDict(), print)
        >>> hooks[0] = repr
        >>> hooks.values() == [repr, print]
        True
    """

    def __init__(self, hooks: OrderedDict[int, Any], last: Callable[..., Any]) -> None:
        super().__init__(hooks)
        self.replaced = hooks
        self._older = tuple(hooks)
        self.last: Callable[..., Any] | None = last

    @classmethod
    def of(cls, hooks: Any, last: Callable[..., Any]) -> LastHook:
        """Return hooks with this one last; what stood in before and let go is used again."""
        if isinstance(hooks, LastHook) and hooks.last is None:
            hooks.last = last
            return hooks
        return cls(hooks, last)

    def values(self) -> list[Callable[..., Any]]:  # type: ignore[override]
        """Return the hooks in the order in which they run."""
        for key in self._older:
            if key in self and key not in self.replaced:
                del self[key]
        found = [self[key] for key in self]
        return found if self.last is None else [*found, self.last]
