"""Policies over HTTP: shipped and uploaded ones, their versions, and decisions by them."""

from l2o.service.server.policies.part import Policies

__all__ = ["Policies"]
