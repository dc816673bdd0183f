"""What clients of control sessions send and get."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_GROUPS = 1_024
MOST_STEPS = 1 << 40
MOST_AT_ONCE = 1_024
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Norms = Annotated[list[float | None], Field(max_length=MOST_GROUPS)]
"""One number for each layer group; null where it was not measured, Infinity where it overflowed."""
Step = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Name = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Sent(BaseModel):
    """Base of what clients send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Group(Sent):
    """A layer group: parameters that share one multiplier."""

    name: Name
    """Unique among the groups."""
    size: Annotated[int, Field(ge=1, le=1 << 50)]
    """Number of its parameters."""
    inputs: Positive | None = None
    """Inputs of a unit, in the mean over the units of its matrices; null if it has none."""
    vectors: Share | None = None
    """Share of its parameter tensors that are vectors (biases, gains)."""
    is_head: bool = False
    """Whether it is the new head; at most the last group is."""


class Opening(Sent):
    """What a run is like, told once."""

    policy: Annotated[str, Field(min_length=1, max_length=100)]
    """NAME or NAME@VERSION."""
    groups: Annotated[list[Group], Field(min_length=1, max_length=MOST_GROUPS)]
    """Layer groups, from the input to the head."""
    base_lr: Rate | Annotated[list[Rate], Field(max_length=MOST_GROUPS)]
    """Reference learning rate: the run's own, without a schedule on it; one, or one per group."""
    weight_norm: Norms | None = None
    """Norm of each group's weights at the start."""
    total_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    """Length of the training in optimizer steps."""
    interval: Annotated[int, Field(ge=1, le=1 << 30)] | None = None
    """Steps between decisions; null: as the policy has it."""
    optimizer: Annotated[str, Field(max_length=100)] = ""
    """Name of the optimizer, to be shown."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What the run is called, to be shown."""
    keep: Literal["server", "client"] = "server"
    """Who keeps the session's state: the server, or the client, as a signed text."""


class Measured(Sent):
    """What was measured at a decision. What is left out or null was not measured."""

    step: Step
    """Optimizer steps done: the `next_step` of the last answer."""
    weight_norm: Norms | None = None
    """Norm of each group's weights."""
    gradient_norm: Norms | None = None
    """Norm of the last step's gradient."""
    update_norm: Norms | None = None
    """Norm of the last step's update, divided by the schedule's factor where there is one."""
    gradient_dot_update: Norms | None = None
    """Gradient times minus update of the last step, divided likewise."""
    drift_norm: Norms | None = None
    """Norm of the difference to the weights at the start."""
    largest_update: Norms | None = None
    """Largest relative update of a tensor of the group, divided likewise."""
    loss: float | None = None
    """Mean training loss over the steps since the last decision."""
    proxy_kl: float | None = None
    """Mean divergence from the pretrained network over these steps."""
    validation_loss: float | None = None
    """Newest validation loss, if there is one since the last decision."""
    head_mean: float | None = None
    """Mean of the head's weights, mean over the steps since the last decision."""
    head_std: float | None = None
    """Their standard deviation, likewise."""
    base_lr: Rate | Annotated[list[Rate], Field(max_length=MOST_GROUPS)] | None = None
    """Reference learning rates, where they changed."""
    multipliers: Norms | None = None
    """Multipliers that were used since the last decision, where they were not those answered."""


class Carried(Measured):
    """What was measured, with the state that the client keeps."""

    state: Annotated[str, Field(max_length=1 << 20)]
    """The `state` of the last answer."""


class Addressed(Measured):
    """What was measured in one of several sessions."""

    session: Annotated[str, Field(max_length=64)]
    """Its id."""


class Several(Sent):
    """What was measured in several sessions, answered together."""

    decisions: Annotated[list[Addressed], Field(min_length=1, max_length=MOST_AT_ONCE)]


class Answered(BaseModel):
    """A decision."""

    session: str | None = None
    """The session's id; null where the client keeps the state."""
    step: int
    """Optimizer steps done when it was taken."""
    multipliers: list[float]
    """Factor on the reference learning rate of each group, until the next decision."""
    learning_rates: list[float]
    """The rates that this makes; the client's schedule multiplies on top."""
    next_step: int | None
    """Steps done when the next decision is due; null: none is, before the training ends."""
    state: str | None = None
    """What the client has to send with the next measurement, if it keeps the state."""


class Opened(Answered):
    """A session that was opened, and its first decision."""

    policy: str
    """Name and version of the policy that decides in all of it."""
    expires: float | None
    """Seconds since 1970 after which it is forgotten, unless it is asked before."""
    needs: list[str]
    """Quantities among those that cost to measure which the policy looks at."""


class Told(BaseModel):
    """A session, in a list."""

    session: str
    name: str
    policy: str
    owner: str
    groups: int
    step: int
    total_steps: int | None
    created: float
    expires: float


class Failed(BaseModel):
    """Why one of several sessions was not answered."""

    session: str
    status: int
    detail: str
    remedy: str = ""
