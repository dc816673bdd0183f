"""The same app as a deployment of Ray Serve, where decisions outgrow one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from l2o.extras import needed_by
from l2o.service.server.auth import load_tokens
from l2o.service.server.settings import Settings, settings_of

NAME = "l2o"


class ServeArguments(BaseModel):
    """Arguments of `serve run l2o.service.server.ray_serve:app KEY=VALUE ...`.

    Attributes:
        data: folder of policies and sessions, which every replica sees under this path.
        token: file of tokens, as `l2o serve` takes it.
        replicas: processes that answer, wherever the cluster has room.
        cpus: cores of each.
    """

    model_config = ConfigDict(extra="forbid")

    data: Path = Path("l2o-data")
    token: Path | None = None
    replicas: int = Field(default=2, ge=1, le=1000)
    cpus: float = Field(default=1.0, gt=0.0)


def app(arguments: ServeArguments) -> Any:
    """Return the application: replicas of the app that `l2o serve` runs, for decisions.

    Replicas share the data folder's database, so any of them answers for any session; where the
    folder is no local disk, let clients keep their sessions (`"keep": "client"`), and nothing but
    policies is read from it. Jobs are queued by `l2o serve`: replicas that come and go run none.

    Raises:
        MissingExtraError: Ray is not installed; its part for serving is `ray[serve]`.
        ValueError: settings that cannot be used.
    """
    with needed_by("l2o under Ray Serve", "ray"):
        from ray import serve

    token = arguments.token and arguments.token.resolve()
    # Several workers: what is decided goes straight into the database, which they share.
    settings = settings_of((), data=arguments.data.resolve(), token=token, workers=2)
    load_tokens(settings)
    ingress = serve.ingress(_maker(settings))
    deployment = serve.deployment(
        name=NAME,
        num_replicas=arguments.replicas,
        ray_actor_options={"num_cpus": arguments.cpus},
    )
    return deployment(ingress(type("Decisions", (), {}))).bind()


def _maker(settings: Settings) -> Any:
    """Return what makes the app in a replica: its database does not travel."""

    def make() -> Any:
        from l2o.service.server.app import create_app

        return create_app(settings)

    return make
