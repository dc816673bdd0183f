"""Hooks around an optimizer's step, its checkpoints, and whatever may get between them."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer


@dataclass(frozen=True)
class Callbacks:
    """What is called around a step and a checkpoint.

    Attributes:
        begin: before the step.
        finish: after it, with `found_inf`, a fused optimizer's mark of a step that it skipped.
        begin_closure: before the user's closure, which runs within the step.
        end_closure: after a closure that did not raise.
        settle: undo what a step that raised left behind.
        save: add to the optimizer's new state dict.
        load: read a state dict, before the optimizer does.
    """

    begin: Callable[[], None]
    finish: Callable[[Any], None]
    begin_closure: Callable[[], None]
    end_closure: Callable[[], None]
    settle: Callable[[], None]
    save: Callable[[dict[str, Any]], None]
    load: Callable[[dict[str, Any]], None]


class Hooks:
    """Calls back once per optimizer step, before and after.

    A step that calls the step of its base class is one step. A step that raised never ends: its
    traces go with the next step, checkpoint or closure. Optimizers that load their state by
    themselves, without torch's hooks, are served by wrapping that method of the one instance.

    Args:
        optimizer: an optimizer without such hooks yet.
        callbacks: what to call.
        steps: whether to hook the step at all, and not only checkpoints.

    Raises:
        ValueError: the optimizer is hooked already.
    """

    _taken: weakref.WeakSet[Optimizer] = weakref.WeakSet()

    def __init__(self, optimizer: Optimizer, callbacks: Callbacks, steps: bool = True) -> None:
        if optimizer in self._taken:
            raise ValueError(
                "this optimizer has a controller already; call its detach() first, or give each "
                "controller an optimizer of its own"
            )
        self._taken.add(optimizer)
        self._optimizer = optimizer
        self._call = callbacks
        self._step_frame: FrameType | None = None
        self._depth = 0
        self._loaded = False
        self._handles: list[Any] = []
        if steps:
            # Hooks stay out of compiled steps. Wrapped here, not by decorators: that would make
            # `import l2o` load the whole compiler.
            before, after = (torch.compiler.disable(h) for h in (self._before, self._after))
            self._handles += [
                optimizer.register_step_pre_hook(before),
                optimizer.register_step_post_hook(after),
            ]
        self._handles += [
            optimizer.register_state_dict_pre_hook(lambda _: self._call.settle()),
            optimizer.register_state_dict_post_hook(self._save),
            optimizer.register_load_state_dict_pre_hook(self._load),
        ]
        if type(optimizer).load_state_dict is not Optimizer.load_state_dict:
            self._wrap_load()

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._taken.discard(self._optimizer)
        vars(self._optimizer).pop("load_state_dict", None)

    def _before(self, _: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if self._step_frame is not None and _is_running(self._step_frame):
            self._depth += 1
            return None
        self._depth = 0
        self._step_frame = _frame_of_step()
        self._call.begin()
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._around(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):
            return (args[0], self._around(args[1]), *args[2:]), kwargs
        return None

    def _after(self, optimizer: Optimizer, *_: Any) -> None:
        if self._depth:
            self._depth -= 1
            return
        self._step_frame = None
        self._call.finish(getattr(optimizer, "found_inf", None))

    def _around(self, closure: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(*args: Any, **kwargs: Any) -> Any:
            self._call.begin_closure()
            result = closure(*args, **kwargs)
            self._call.end_closure()
            return result

        return evaluate

    def _save(self, _: Optimizer, state_dict: dict[str, Any]) -> None:
        self._call.save(state_dict)

    def _load(self, _: Optimizer, state_dict: dict[str, Any]) -> None:
        self._loaded = True
        self._call.settle()
        self._call.load(state_dict)

    def _wrap_load(self) -> None:
        load = self._optimizer.load_state_dict

        def load_state_dict(state_dict: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            self._loaded = False
            self._call.settle()
            result = load(state_dict, *args, **kwargs)
            if not self._loaded:
                self._call.load(state_dict)
            return result

        self._optimizer.load_state_dict = load_state_dict  # type: ignore[method-assign]


def _frame_of_step() -> FrameType | None:
    """Return the frame of torch's wrapper around `step` that called a hook."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != torch_optimizer.__file__:
        frame = frame.f_back
    return frame


def _is_running(wanted: FrameType) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame is wanted:
            return True
        frame = frame.f_back
    return False
