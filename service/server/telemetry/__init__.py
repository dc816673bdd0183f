"""Telemetry: decisions and losses of runs elsewhere, as they happen."""

from l2o.service.server.telemetry.part import Telemetry

__all__ = ["Telemetry"]
