"""Signing in: a browser keeps the token in a cookie that no script can read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from l2o.service.server.auth import COOKIE, recognise
from l2o.service.server.dashboard.page_route import page_route
from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.errors import Problem
from l2o.service.server.limits import Rates

DAYS = 30
"""Days that a browser stays signed in."""


def sign_in_pages(pages: Pages) -> APIRouter:
    """Return the routes of signing in and out."""
    router = APIRouter(route_class=page_route(pages))
    failures = pages.context.settings.failures
    rates = Rates(failures / 60.0, failures)

    @router.get("/login")
    def ask(request: Request) -> Response:
        return pages.show(request, "login", wrong="")

    @router.post("/login")
    def enter(request: Request, token: Annotated[str, Form(max_length=1000)] = "") -> Response:
        address = request.client.host if request.client else ""
        try:
            rates.require(address, "wrong tokens", cost=0.0)
            if recognise(token.strip(), pages.context.tokens) is None:
                rates.require(address, "wrong tokens")
                raise Problem(401, "That is not a token of this server. Who runs it has one.")
        except Problem as problem:
            wrong = problem.detail
            return pages.show(request, "login", problem.status, wrong=wrong)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            token.strip(),
            max_age=DAYS * 86_400,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post("/logout")
    def leave() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    return router
