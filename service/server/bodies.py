"""Bodies that are read without the framework's detour: validated from JSON in one step."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from l2o.service.server.errors import Problem, invalid

Model = TypeVar("Model", bound=BaseModel)


def parsed(body: bytes, model: type[Model]) -> Model:
    """Return JSON as a model; Problem with status 422 if it does not validate."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(list(error.errors(include_url=False, include_context=False))) from error


async def body_of(request: Request) -> bytes:
    """Return the body of a request; Problem with status 415 if it is said to be no JSON."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise Problem(415, f"the body is {kind[:100]!r}", "send application/json")
    return await request.body()


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the OpenAPI page tells of a body that `body_of` reads."""
    schema = model.model_json_schema()
    whole = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole}}}}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """Return a schema with each reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [_inlined(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name in parts:
        return _inlined(parts[name], parts)
    return {key: _inlined(value, parts) for key, value in schema.items()}
