"""What a training loop here has to do with a server elsewhere: its policies, its telemetry."""

from l2o.integrations.remote.policy import RemotePolicy
from l2o.integrations.remote.telemetry import RemoteLog

__all__ = ["RemoteLog", "RemotePolicy"]
