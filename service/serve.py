"""`l2o serve`: the HTTP service and its dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2o.service.outcomes import explained


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8420,
    data: Annotated[
        Path, typer.Option(help="Folder of database, runs and policies.", metavar="DIR")
    ] = Path("l2o-data"),
    token: Annotated[
        Path | None,
        typer.Option(
            help="File with lines TOKEN [read|write [NAME]]; without it, one is drawn.",
            metavar="FILE",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1, max=64)] = 1,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let jobs name code by dotted path.")
    ] = False,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=value",
            help="Limits to change, as max_upload=8e9, rate=100, session_seconds=3600.",
            show_default=False,
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve policies, control sessions, jobs and a dashboard over HTTP.

    Stops on Ctrl-C or SIGTERM, after answering what was asked.
    """
    with explained(command="serve"):
        from l2o.service.server.running import run
        from l2o.service.server.settings import settings_of

        run(
            settings_of(
                more or (),
                host=host,
                port=port,
                data=data.resolve(),
                token=token and token.resolve(),
                workers=workers,
                allow_code=allow_code,
                log_level=log_level,
            )
        )
