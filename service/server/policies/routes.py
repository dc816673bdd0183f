"""The paths below /v1/policies."""

from __future__ import annotations

import io
import zipfile
from typing import Annotated, Any

from fastapi import APIRouter, File, Header, Path, Query, Request, UploadFile
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from l2o.deciding.bundle import CARD, WEIGHTS
from l2o.integrations.remote.tensors import pack
from l2o.intervals.plain import as_plain
from l2o.service.server.bodies import body_of, parsed, schema_of
from l2o.service.server.errors import Problem, shown
from l2o.service.server.hot import HotRoute, Tell
from l2o.service.server.policies.batches import Batcher, Question
from l2o.service.server.policies.observations import Asked, Decided, observation_of, state_of
from l2o.service.server.policies.store import PolicyStore, Stored

Key = Annotated[
    str, Path(max_length=100, description="NAME, or NAME@VERSION; NAME alone is the newest.")
]
Known = Annotated[str | None, Header(alias="If-None-Match")]


class Listed(BaseModel):
    """A policy, in a list."""

    name: str
    version: str
    """Hash of its two files."""
    source: str
    """shipped, or uploaded."""
    created: float
    """Seconds since 1970."""
    about: str = ""
    """What its card says in a sentence."""


class Described(Listed):
    """A policy and its card."""

    card: dict[str, Any]
    signals: list[str]
    """What an observation has in each row."""
    interval: Any
    """Optimizer steps between decisions, or a rule of them."""
    largest: float
    """The largest multiplier that it can choose."""
    guidance_actions: list[str] = []
    """Guidance terms whose weights it scales: rows of the observation after the layers'."""
    groups: int | None = None
    """Layer groups that it is for; null: any number."""


def policy_routes(store: PolicyStore, hot: HotRoute) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/policies", tags=["policies"])

    @router.get("")
    def list_all() -> list[Listed]:
        """List the policies, each in its newest version."""
        return [_listed(store.versions(name)[0]) for name in store.names()]

    @router.get("/{key}")
    def describe(key: Key, response: Response, known: Known = None) -> Described:
        """Show a policy's card, and what a client has to know to ask it."""
        stored = store.find(key)
        _tag(response, stored)
        if known is not None and stored.version in known:
            raise Problem(304, "nothing new", headers={"ETag": f'"{stored.version}"'})
        return _described(store, stored)

    @router.get("/{key}/versions")
    def versions(key: Key) -> list[Listed]:
        """List the versions of a policy, the newest first."""
        return [_listed(each) for each in store.versions(key.partition("@")[0])]

    @router.get("/{key}/files/{file}", response_class=Response)
    def file(key: Key, file: Annotated[str, Path(max_length=100)]) -> Response:
        """Download one of the two files of a bundle: card.json or policy.safetensors."""
        stored = store.find(key)
        if file not in (CARD, WEIGHTS):
            raise Problem(
                404, f"a bundle has no file {shown(file)}", f"ask for {CARD} or {WEIGHTS}"
            )
        # Its bytes are what the version is a hash of, so it is no JSON that may be written anew.
        kind = "application/octet-stream"
        return _download(stored, stored.files()[file], kind, file)

    @router.get("/{key}/download", response_class=Response)
    def download(key: Key) -> Response:
        """Download a bundle as a zip: a folder with its two files, for `l2o.load_policy`."""
        stored = store.find(key)
        return _download(stored, _zipped(stored), "application/zip", f"{stored.name}.zip")

    _add_writing(router, store, hot)
    return router


def _add_writing(router: APIRouter, store: PolicyStore, hot: HotRoute) -> None:
    @router.put("/{name}", status_code=201)
    def upload(
        name: Annotated[str, Path(max_length=100)],
        card: Annotated[UploadFile, File(description="card.json")],
        weights: Annotated[UploadFile, File(description="policy.safetensors")],
        response: Response,
        replace: Annotated[
            bool, Query(description="Whether a name may get another version.")
        ] = True,
    ) -> Described:
        """Upload a bundle's two files; the same files again are the same version."""
        if not replace and name in store.names():
            raise Problem(409, f"there is a policy {name} already", "choose another name")
        stored, new = store.add(name, card.file.read(), weights.file.read())
        _tag(response, stored)
        if not new:
            response.status_code = 200
        return _described(store, stored)

    @router.post("/{key}/decisions", response_model=Decided, openapi_extra=schema_of(Asked))
    async def decide(key: Key, request: Request) -> Response:
        """Ask a policy what to do at an observation; the same question has the same answer."""
        answer = await hot.answer(key, await body_of(request))
        return Response(answer, media_type="application/json")


def hot_route(store: PolicyStore, batcher: Batcher[Question, Question]) -> HotRoute:
    """Return the route of observations, posted as JSON, to the policy of a key."""

    def begin(key: str, body: bytes, tell: Tell) -> None:
        asked = parsed(body, Asked)
        stored = store.find(key)
        policy = store.load(stored)
        seen = observation_of(asked, policy)
        question = Question(policy, seen, state_of(asked, policy, len(seen)))
        batcher.add(question, lambda done: tell(_decided(stored.key, done)))

    return HotRoute("/v1/policies/", "/decisions", begin)


def _decided(key: str, done: Question | Exception) -> bytes | Exception:
    if isinstance(done, Exception):
        return done
    assert done.multipliers is not None
    state = {name: pack(value) for name, value in (done.new_state or {}).items()}
    told = {"policy": key, "multipliers": done.multipliers.tolist(), "state": state}
    return to_json(told, inf_nan_mode="null")


def _listed(stored: Stored) -> Listed:
    card = stored.card()
    about = card.get("description") or card.get("name") or ""
    return Listed(
        name=stored.name,
        version=stored.version,
        source=stored.source,
        created=stored.created,
        about=str(about)[:300],
    )


def _described(store: PolicyStore, stored: Stored) -> Described:
    policy = store.load(stored)
    return Described(
        **_listed(stored).model_dump(),
        card=stored.card(),
        signals=list(policy.signals.names),
        interval=as_plain(policy.interval),
        largest=policy.multipliers.largest,
        guidance_actions=list(policy.guidance_actions),
        groups=getattr(policy, "groups", None),
    )


def _tag(response: Response, stored: Stored) -> None:
    response.headers["ETag"] = f'"{stored.version}"'


def _download(stored: Stored, data: bytes, kind: str, name: str) -> Response:
    response = Response(data, media_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    _tag(response, stored)
    return response


def _zipped(stored: Stored) -> bytes:
    """Return the bundle as a zip; of the same version always the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in stored.files().items():
            archive.writestr(zipfile.ZipInfo(f"{stored.name}/{name}"), data)
    return made.getvalue()
