"""Routes whose problems are pages, too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from l2o.service.server.dashboard.rendering import Pages
from l2o.service.server.errors import Problem, invalid


def page_route(pages: Pages) -> type[APIRoute]:
    """Return a kind of route that answers a problem with a page that tells it."""

    class PageRoute(APIRoute):
        """A route of the dashboard."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Return the handler, with problems made pages."""
            handle = super().get_route_handler()

            async def handled(request: Request) -> Response:
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    problem = invalid(list(error.errors()))
                except Problem as found:
                    problem = found
                return pages.show(request, "problem", problem.status, problem=problem)

            return handled

    return PageRoute
