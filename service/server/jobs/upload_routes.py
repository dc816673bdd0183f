"""The paths below /v1/uploads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from l2o.service.server.jobs.answers import UploadAnswer, upload_answer
from l2o.service.server.jobs.refusals import answered
from l2o.service.server.jobs.uploads import Uploads

Name = Annotated[str, Path(max_length=100, description="Letters, digits, _ . - and at most 64.")]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def upload_routes(uploads: Uploads) -> APIRouter:
    """Return the routes of uploads."""
    router = APIRouter(prefix="/v1/uploads", tags=["jobs"])

    @router.get("")
    def list_uploads() -> list[UploadAnswer]:
        """List uploaded folders."""
        return [upload_answer(each) for each in uploads.all()]

    @router.put("/{name}", status_code=201, openapi_extra=_BODY)
    async def upload(name: Name, request: Request) -> UploadAnswer:
        """Upload a folder of images as zip or tar; configs name it uploads/NAME."""
        with answered():
            return upload_answer(await uploads.receive(name, request.stream()))

    @router.get("/{name}")
    def get(name: Name) -> UploadAnswer:
        """Tell of an upload."""
        with answered():
            return upload_answer(uploads.get(name))

    @router.delete("/{name}", status_code=204)
    def delete(name: Name) -> None:
        """Delete an upload."""
        with answered():
            uploads.delete(name)

    return router
