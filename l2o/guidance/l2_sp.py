"""L2-SP: the squared distance of the backbone's parameters from their start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from l2o.guidance.base import Guidance
from l2o.guidance.compare import at_least_single, check_names


@dataclass(frozen=True)
class L2SP(Guidance[Mapping[str, Tensor]]):
    """β/2 · ‖θ − θ₀‖² over the backbone's parameters, the weight being β.

    Source: Li, Grandvalet and Davoine, Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks, ICML 2018 (there with weight decay on the new head, which an optimizer
    gives).

    Args:
        weight: β, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        >>> from l2o.guidance import backbone_parameters, copy_parameters
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> student = backbone_parameters(model)
        >>> start = copy_parameters(student)  # before the first step
        >>> L2SP(weight=0.1)(student, start).item()  # in each step
        0.0
    """

    compares: ClassVar[str] = "parameters"

    def divergence(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return ½ · ‖θ − θ₀‖², a scalar.

        Args:
            student: parameters by name.
            teacher: the same at the start; taken as constants, and there may be more of them.

        Raises:
            ValueError: a parameter without its start, or of another shape.
        """
        check_names("start", student, teacher)
        parts = [
            (at_least_single(value) - teacher[name].detach()).square().sum()
            for name, value in student.items()
        ]
        return torch.stack(parts).sum() / 2
