"""The HTTP service: policies, control sessions, telemetry and jobs in one process."""

from l2o.extras import needed_by

with needed_by("l2o serve", "serve"):
    from l2o.service.server.app import create_app
    from l2o.service.server.settings import Settings

__all__ = ["Settings", "create_app"]
