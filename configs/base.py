"""What all schemas are made of: immutable, documented, nothing unknown accepted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Options = dict[str, Any]
Steps = Annotated[int, Field(gt=0, le=10_000_000)]
"""Optimizer steps."""


Number = Annotated[int, Field(gt=0, le=1_000_000)]
"""How many of something that is held in memory."""
Rate = Annotated[float, Field(gt=0.0, le=1e32)]
"""A learning rate: times a factor it is still a number of 32 bits."""


class Strict(BaseModel):
    """Base of all configs: immutable, documented, unknown fields refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Named(Strict):
    """A member of a family: its name in the family's table (or a dotted path) and its arguments."""

    name: str
    """Name in the family's table, or `package.module:Name` of your own."""
    options: Options = {}
    """Keyword arguments of that thing."""
