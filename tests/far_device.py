"""A device that is not there: host tensors that torch takes for another device's.

They report the device "meta", so that autograd runs without a driver, and hold their numbers in
host memory. What real devices forbid or wait for is refused or counted:

- a copy between host and device is counted, a scalar is not;
- reading a value (`item`, `bool`, `tolist`, boolean masks as indices) is counted as a wait;
- mixing host and device tensors in one operation is an error.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten
DEVICE = torch.device("meta")
_WAITS = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.is_nonzero, aten.equal)
_COPIES = (aten._to_copy, aten.copy_)


class FarTensor(torch.Tensor):
    """A tensor that says it lies on the device; its numbers are in `near`."""

    near: torch.Tensor

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> FarTensor:
        far = torch.Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=DEVICE,
        )
        far.near = near
        return far

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} on the device outside of FarDevice()")

    def __repr__(self) -> str:
        return f"FarTensor({tuple(self.shape)}, {self.dtype})"


class FarDevice(TorchDispatchMode):
    """While this is active the device exists. `counts` tells copies and waits since `clear()`."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        flat = [a for a in _leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        far = [a for a in flat if isinstance(a, FarTensor)]
        near = [a for a in flat if not isinstance(a, FarTensor)]
        for tensor in near:
            assert tensor.device.type == "cpu", f"{func}: made on the device from host data"
        packet = func.overloadpacket
        target = kwargs.get("device")
        to_far = target is not None and torch.device(target).type == "meta"
        if packet in _COPIES:
            return self._copy(func, args, kwargs, bool(far), target, to_far)
        if far:
            self._check(func, packet, args, near)
        if to_far:
            kwargs["device"] = torch.device("cpu")
        result = func(*tree_map(_near, args), **tree_map(_near, kwargs))
        if packet is aten._local_scalar_dense or not (far or to_far):
            return result
        return self._wrap(func, args, kwargs, result)

    def _copy(self, func, args, kwargs, far, target, to_far):
        if func.overloadpacket is aten.copy_:
            sides = {isinstance(args[0], FarTensor), isinstance(args[1], FarTensor)}
            if len(sides) == 2 and args[1].dim() > 0:
                self._count("to device" if isinstance(args[0], FarTensor) else "to host", args[1])
            _near(args[0]).copy_(_near(args[1]))
            return args[0]
        arrives = to_far or (far and target is None)
        if far != arrives:
            self._count("to device" if arrives else "to host", args[0])
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        result = func(_near(args[0]), **kwargs)
        return FarTensor(result) if arrives else result

    def _count(self, what: str, tensor: torch.Tensor) -> None:
        self.counts[what] += 1

    def _check(self, func, packet, args, near) -> None:
        if packet in _WAITS:
            self.counts["waits"] += 1
        if packet in (aten.index, aten.index_put, aten.index_put_):
            for index in args[1]:
                if index is None:
                    continue
                if index.dtype == torch.bool:
                    self.counts["waits"] += 1
                if not isinstance(index, FarTensor):
                    self.counts["to device"] += 1
            return
        mixed = [tensor for tensor in near if tensor.dim() > 0]
        assert not mixed, f"{func}: tensors of host and device mixed"

    def _wrap(self, func, args, kwargs, result):
        """Return results as tensors of the device; what was changed in place is itself."""
        known = {id(_near(a)): a for a in _leaves((args, kwargs)) if isinstance(a, FarTensor)}

        def far(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            return known[id(value)] if id(value) in known else FarTensor(value)

        return tree_map(far, result)


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


def _leaves(tree: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(tree)
