"""The dashboard: pages of jobs, curves, policies, live controllers and the machine."""

from l2o.service.server.dashboard.part import Dashboard

__all__ = ["Dashboard"]
