"""The parts of a server, in the order in which they start."""

from __future__ import annotations

from l2o.service.server.base import Part

PARTS: tuple[type[Part], ...] = ()
