"""Checks that student and teacher can be compared, worded alike for all terms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def check_pair(what: str, student: Tensor, teacher: Tensor) -> None:
    """Raise unless both are floating-point tensors of one shape, with something in them.

    Raises:
        ValueError: naming the shapes or types.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student {what} {tuple(student.shape)} and teacher {what} {tuple(teacher.shape)} "
            "must have one shape; both come from the same images and the same layer"
        )
    if student.dim() < 2 or student.numel() == 0:
        raise ValueError(f"{what} must be [N, D, ...] and not empty, got {tuple(student.shape)}")
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ValueError(f"{what} must be floating-point, got {student.dtype} and {teacher.dtype}")


def check_names(what: str, student: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Raise unless every tensor of the student has its counterpart, of the same shape.

    Raises:
        ValueError: naming the first tensor that is missing or differs.
    """
    if not student:
        raise ValueError(f"there are no parameters to compare with the {what}")
    for name, tensor in student.items():
        if name not in other:
            raise ValueError(
                f"{name!r} has no {what}; give {what} for all of backbone_parameters(model, head)"
            )
        if other[name].shape != tensor.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(tensor.shape)} but its {what} "
                f"{tuple(other[name].shape)}; they must be of one network"
            )


def at_least_single(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 or better: half precision has too few digits for sums."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
