"""Hooks around an optimizer's step, its checkpoints, and whatever may get between them."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, MethodType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer

from l2o.control.hook_order import LastHook


@dataclass(frozen=True)
class Callbacks:
    """What is called around a step and a checkpoint.

    Attributes:
        begin: before the step, in the order in which hooks were registered.
        apply: before the step, after all other hooks.
        finish: after it, with `found_inf`, a fused optimizer's mark of a step that it skipped.
        begin_closure: before the user's closure, which runs within the step.
        end_closure: after a closure that did not raise.
        settle: undo what a step that raised left behind.
        save: add to the optimizer's new state dict.
        check: refuse a state dict, before the optimizer reads it.
        load: read a state dict that the optimizer has read.
    """

    begin: Callable[[], None]
    apply: Callable[[], None]
    finish: Callable[[Any], None]
    begin_closure: Callable[[], None]
    end_closure: Callable[[], None]
    settle: Callable[[], None]
    save: Callable[[dict[str, Any]], None]
    check: Callable[[dict[str, Any]], None]
    load: Callable[[dict[str, Any]], None]


class Hooks:
    """Calls back once per optimizer step, before and after.

    A step that calls the step of its base class is one step. Hooks of the user's see the
    optimizer as they know it, whenever they were registered: what acts on the step comes last
    before it and first after it. The traces of a step that raised go at once. Optimizers that
    load their state by themselves, without torch's hooks, are served by wrapping that method of
    the one instance.

    Args:
        optimizer: an optimizer without such hooks yet.
        callbacks: what to call.
        steps: whether to hook the step at all, and not only checkpoints.
        outer: optimizers around it, whose checkpoints carry the state, too.

    Raises:
        ValueError: the optimizer is hooked already.
    """

    _taken: weakref.WeakSet[Optimizer] = weakref.WeakSet()

    def __init__(
        self,
        optimizer: Optimizer,
        callbacks: Callbacks,
        steps: bool = True,
        outer: Sequence[Optimizer] = (),
    ) -> None:
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
        self._loading: dict[str, Any] | None = None
        self._loads = 0
        self._handles: list[Any] = []
        self._wrapped: list[tuple[Optimizer, str, Any]] = []
        self._last: LastHook | None = None
        if steps:
            self._hook_steps(optimizer)
        for carrier in (optimizer, *outer):
            self._hook_checkpoints(carrier)

    def _hook_steps(self, optimizer: Optimizer) -> None:
        # Hooks stay out of compiled steps. Wrapped here, not by decorators: that would make
        # `import l2o` load the whole compiler.
        begin, apply, finish = (
            torch.compiler.disable(hook) for hook in (self._begin, self._apply, self._finish)
        )
        after = optimizer.register_step_post_hook(finish)
        # Any: torch's annotations say less than it relies on, that these are ordered.
        posts: Any = optimizer._optimizer_step_post_hooks
        posts.move_to_end(after.id, last=False)
        self._handles += [optimizer.register_step_pre_hook(begin), after]
        self._last = LastHook.of(optimizer._optimizer_step_pre_hooks, apply)
        optimizer._optimizer_step_pre_hooks = self._last
        self._wrap(optimizer, "step", self._settled(optimizer.step))

    def _hook_checkpoints(self, carrier: Optimizer) -> None:
        if "_optimizer_state_dict_post_hooks" in vars(carrier):
            self._handles += [
                carrier.register_state_dict_pre_hook(lambda _: self._call.settle()),
                carrier.register_state_dict_post_hook(self._save),
            ]
        if "_optimizer_load_state_dict_post_hooks" in vars(carrier):
            self._handles += [
                carrier.register_load_state_dict_pre_hook(self._check),
                carrier.register_load_state_dict_post_hook(self._load),
            ]
        if type(carrier).load_state_dict is not Optimizer.load_state_dict:
            self._wrap(carrier, "load_state_dict", self._loaded(carrier.load_state_dict))

    def _wrap(self, optimizer: Optimizer, name: str, wrapper: Any) -> None:
        """Let a function stand in for a method of this one optimizer."""
        held = vars(optimizer).get(name)
        # A method, as schedulers that wrap it once more expect.
        setattr(optimizer, name, MethodType(wrapper, optimizer))
        self._wrapped.append((optimizer, name, held))

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._last is not None:
            # Left in place: handles of hooks that were registered since lead to it.
            self._last.last = None
        for optimizer, name, held in self._wrapped:
            mine = getattr(vars(optimizer).get(name), "__func__", None)
            if getattr(mine, "hooks", None) is not self:
                continue  # wrapped once more by somebody else: what lies within only calls on
            if held is None:
                vars(optimizer).pop(name)
            else:
                setattr(optimizer, name, held)
        self._wrapped = []
        self._taken.discard(self._optimizer)

    def _settled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step that, should it raise, leaves the optimizer as the user knows it."""

        @functools.wraps(step)
        def settled(_: Optimizer, *args: Any, **kwargs: Any) -> Any:
            try:
                return step(*args, **kwargs)
            except BaseException:
                self._step_frame = None
                self._call.settle()
                raise

        settled.hooks = self  # type: ignore[attr-defined]
        return settled

    def _within_another(self) -> bool:
        return self._step_frame is not None and _is_running(self._step_frame)

    def _begin(self, _: Optimizer, args: Any, kwargs: Any) -> None:
        if self._within_another():
            self._depth += 1
            return
        self._depth = 0
        self._step_frame = _frame_of_step()
        self._call.begin()

    def _apply(self, _: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if self._depth:
            return None
        self._call.apply()
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._around(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):
            return (args[0], self._around(args[1]), *args[2:]), kwargs
        return None

    def _finish(self, optimizer: Optimizer, *_: Any) -> None:
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

    def _check(self, _: Optimizer, state_dict: dict[str, Any]) -> None:
        self._call.settle()
        self._call.check(state_dict)
        self._loading = state_dict

    def _load(self, _: Optimizer) -> None:
        # Only now, when torch has read its own part: a load that it refuses changes nothing here.
        state_dict, self._loading = self._loading, None
        self._loads += 1
        if state_dict is not None:
            self._call.load(state_dict)

    def _loaded(self, load: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(load)
        def load_state_dict(
            optimizer: Optimizer, state_dict: dict[str, Any], *args: Any, **kwargs: Any
        ) -> Any:
            self._check(optimizer, state_dict)
            before = self._loads
            result = load(state_dict, *args, **kwargs)
            if self._loads == before:
                self._load(optimizer)
            return result

        load_state_dict.hooks = self  # type: ignore[attr-defined]
        return load_state_dict


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
