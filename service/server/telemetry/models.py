"""What runs send of themselves, and what is told of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_ROWS, MOST_VALUES, MOST_AT_ONCE = 2_048, 64, 1_000
Short = Annotated[str, Field(max_length=300)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(max_length=MOST_ROWS)]


class Sent(BaseModel):
    """Base of what runs send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Facts(Sent):
    """What a run is."""

    name: Short = ""
    """What it is called, to be shown."""
    kind: Short = "controller"
    """controller, finetune, train or benchmark."""
    groups: Annotated[list[Short], Field(max_length=MOST_ROWS)] = []
    """Names of the layer groups, and of guidance terms after them."""
    total_steps: Annotated[int, Field(ge=1, le=1 << 53)] | None = None
    """Length of the training, if known."""
    policy: Short = ""
    """What decides."""
    optimizer: Short = ""
    """What steps."""


class Event(Sent):
    """What happened at a step."""

    step: Annotated[int, Field(ge=0, le=1 << 53)]
    """Steps done."""
    values: Annotated[
        dict[Annotated[str, Field(max_length=100)], Number], Field(max_length=64)
    ] = {}
    """Numbers by name: loss, proxy_kl, validation_loss, ..."""
    multipliers: Numbers = []
    """One for each of the groups."""
    learning_rates: Numbers = []
    """One for each layer group."""
    trouble: Short | None = None
    """What a guard found wrong."""


class Events(Sent):
    """Events of a run, in order."""

    first: Annotated[int, Field(ge=0, le=1 << 53)]
    """Number of the first of them; a run's events are numbered from 0."""
    events: Annotated[list[Event], Field(min_length=1, max_length=MOST_AT_ONCE)]


class End(Sent):
    """That a run is over."""

    dropped: Annotated[int, Field(ge=0, le=1 << 53)] = 0
    """Events that its buffer had no room for."""


class Received(BaseModel):
    """How many events of a run are known."""

    next: int
    """Number of the event that comes next."""


class Run(BaseModel):
    """A run that sends telemetry."""

    run: str
    facts: Facts
    owner: str
    created: float
    seen: float
    """Seconds since 1970 at which it was heard last."""
    events: int
    dropped: int
    ended: float | None


class Numbered(Event):
    """An event, and its number in the run."""

    number: int
