"""The parts of a server, in the order in which they start."""

from __future__ import annotations

from l2o.service.server.base import Part
from l2o.service.server.dashboard import Dashboard
from l2o.service.server.jobs import Jobs
from l2o.service.server.policies import Policies
from l2o.service.server.sessions import Sessions
from l2o.service.server.telemetry import Telemetry

PARTS: tuple[type[Part], ...] = (Policies, Sessions, Telemetry, Jobs, Dashboard)
