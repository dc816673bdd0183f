"""Control sessions: a run anywhere posts what it measured and is answered with multipliers."""

from l2o.service.server.sessions.part import Sessions

__all__ = ["Sessions"]
