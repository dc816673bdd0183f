"""Telemetry: decisions and losses of runs elsewhere, as they happen."""
