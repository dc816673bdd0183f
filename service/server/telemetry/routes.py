"""The paths of telemetry."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from l2o.service.server.telemetry.models import End, Events, Facts, Numbered, Received, Run
from l2o.service.server.telemetry.store import TelemetryStore

Id = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", description="Id of a run.")]


def telemetry_routes(store: TelemetryStore) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/telemetry/runs", tags=["telemetry"])

    @router.get("")
    def list_runs(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    ) -> list[Run]:
        """List runs, those that were heard last first."""
        return store.runs(limit, offset)

    @router.get("/{run}")
    def describe(run: Id) -> Run:
        """Show a run."""
        return store.run(run)

    @router.put("/{run}")
    def begin(run: Id, facts: Facts, request: Request) -> Run:
        """Begin a run, under an id that the client draws."""
        return store.open(run, facts, request.scope["token"].name)

    @router.post("/{run}/events")
    def add(run: Id, events: Events) -> Received:
        """Send events; sent again, each still counts once."""
        return Received(next=store.add(run, events))

    @router.post("/{run}/end")
    def end(run: Id, end: End) -> Run:
        """Tell that a run is over."""
        return store.end(run, end.dropped)

    @router.get("/{run}/events")
    def events(
        run: Id,
        after: Annotated[int, Query(ge=-1, le=1 << 53)] = -1,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> list[Numbered]:
        """List the events of a run after a number, in order."""
        return store.events(store.run(run).run, after, limit)

    @router.delete("/{run}", status_code=204)
    def forget(run: Id) -> None:
        """Forget a run."""
        store.remove(run)

    return router
