"""The paths of control sessions."""

from __future__ import annotations

import asyncio
import secrets
from time import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from l2o.service.server.bodies import body_of, parsed, schema_of
from l2o.service.server.errors import Problem
from l2o.service.server.hot import HotRoute, Tell
from l2o.service.server.policies.batches import Batcher
from l2o.service.server.sessions.answering import Answering, Live, Post, told
from l2o.service.server.sessions.models import (
    Answered,
    Carried,
    Failed,
    Measured,
    Opened,
    Opening,
    Several,
    Told,
)
from l2o.service.server.sessions.progress import Progress
from l2o.service.server.sessions.signing import Signer
from l2o.service.server.sessions.store import Kept, SessionStore

Id = Annotated[str, Path(max_length=64, description="Id of a session.")]
Most = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


class Decision(BaseModel):
    """A decision that was taken."""

    step: int
    multipliers: list[float]


def session_routes(
    store: SessionStore,
    answering: Answering,
    batcher: Batcher[Post, Post],
    signer: Signer,
    hot: HotRoute,
) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1", tags=["sessions"])

    @router.post(
        "/sessions", status_code=201, response_model=Opened, openapi_extra=schema_of(Opening)
    )
    async def open_session(request: Request) -> Response:
        """Open a session for a run; the answer has the multipliers that it begins with."""
        opening = parsed(await body_of(request), Opening)
        session = answering.make(opening)
        progress, measured = session.begin()
        post = await batcher.ask(Post(measured, session=session, progress=progress))
        text = opening.model_dump_json(exclude_defaults=True)
        needs = sorted(session.policy.signals.needs)
        found = told(post) | {"policy": session.key, "expires": None, "needs": needs}
        if opening.keep == "client":
            found["state"] = signer.sign(text, session.key, progress)
        else:
            name, expires = secrets.token_urlsafe(16), store.expiry()
            found |= {"session": name, "expires": expires}
            owner = request.scope["token"].name
            kept = Kept(name, session.key, text, owner, time(), expires)
            store.add(kept, post.digest, progress.to_bytes())
            answering.remember(name, Live(session, progress, expires))
        return _json(found, 201)

    @router.post(
        "/sessions/{session}/decisions",
        response_model=Answered,
        openapi_extra=schema_of(Measured),
    )
    async def decide(session: Id, request: Request) -> Response:
        """Post what was measured; the same post again has the same answer."""
        answer = await hot.answer(session, await body_of(request))
        return Response(answer, media_type="application/json")

    @router.post(
        "/sessions/decisions",
        response_model=list[Answered | Failed],
        openapi_extra=schema_of(Several),
    )
    async def decide_several(request: Request) -> Response:
        """Post what was measured in several sessions; each has an answer, or says why not."""
        asked = parsed(await body_of(request), Several)
        posts = [Post(each, each.session) for each in asked.decisions]
        found = await asyncio.gather(*map(batcher.ask, posts), return_exceptions=True)
        return _json([_each(*pair) for pair in zip(posts, found, strict=True)])

    _add_carried(router, answering, batcher, signer)
    _add_reading(router, store, answering)
    return router


def hot_route(batcher: Batcher[Post, Post]) -> HotRoute:
    """Return the route of measurements, posted as JSON, in a session."""

    def begin(session: str, body: bytes, tell: Tell) -> None:
        post = Post(parsed(body, Measured), session)
        batcher.add(
            post, lambda done: tell(done if isinstance(done, Exception) else as_json(told(done)))
        )

    return HotRoute("/v1/sessions/", "/decisions", begin)


def _add_carried(
    router: APIRouter, answering: Answering, batcher: Batcher[Post, Post], signer: Signer
) -> None:
    @router.post("/decide", response_model=Answered, openapi_extra=schema_of(Carried))
    async def decide_carried(request: Request) -> Response:
        """Post what was measured, and the state that the client keeps; nothing is kept here."""
        asked = parsed(await body_of(request), Carried)
        key, opening, state = signer.check(asked.state)
        session = answering.known(opening, key)
        progress = Progress.from_bytes(state, session.policy)
        post = await batcher.ask(Post(asked, session=session, progress=progress))
        return _json(told(post) | {"state": signer.sign(opening, key, progress)})


def _add_reading(router: APIRouter, store: SessionStore, answering: Answering) -> None:
    @router.get("/sessions")
    def list_sessions(
        limit: Most = 100, offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0
    ) -> list[Told]:
        """List sessions, the newest first."""
        return store.listing(limit, offset)

    @router.get("/sessions/{session}")
    def describe(session: Id) -> Told:
        """Show a session."""
        return store.told(store.read(session))

    @router.get("/sessions/{session}/opening")
    def opening(session: Id) -> dict[str, Any]:
        """Show what a session was opened with."""
        return Opening.model_validate_json(store.read(session).opening).model_dump()

    @router.get("/sessions/{session}/decisions")
    def decisions(
        session: Id, after: Annotated[int, Query(ge=-1, le=1 << 40)] = -1, limit: Most = 1000
    ) -> list[Decision]:
        """List the decisions that were taken in a session."""
        kept = store.read(session)
        policy = answering.known(kept.opening, kept.policy).policy
        found = [Progress.from_bytes(b, policy) for b in store.decisions(session, after, limit)]
        return [Decision(step=each.step, multipliers=each.multipliers.tolist()) for each in found]

    @router.delete("/sessions/{session}", status_code=204)
    def close(session: Id) -> None:
        """Forget a session."""
        store.remove(session)
        answering.forget(session)


def _each(post: Post, found: Post | BaseException) -> dict[str, Any]:
    """Return one of several answers, or why there is none."""
    if isinstance(found, Problem):
        failed = Failed(
            session=str(post.id), status=found.status, detail=found.detail, remedy=found.remedy
        )
        return failed.model_dump()
    if isinstance(found, BaseException):
        raise found
    return told(found)


def as_json(plain: Any) -> bytes:
    """Return plain data as JSON; null for a number that is not finite."""
    return to_json(plain, inf_nan_mode="null")


def _json(plain: Any, status: int = 200) -> Response:
    return Response(as_json(plain), status, media_type="application/json")
