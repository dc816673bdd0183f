"""Guidance of N fine-tunes at once."""

from l2o.envs.stacked.guidance.base import Batch, Room, StackedTerm
from l2o.envs.stacked.guidance.terms import (
    STACKED_GUIDANCE,
    StackedGuidance,
    check_stackable,
    unstackable,
)

__all__ = [
    "STACKED_GUIDANCE",
    "Batch",
    "Room",
    "StackedGuidance",
    "StackedTerm",
    "check_stackable",
    "unstackable",
]
