"""The HTTP service: policies, control sessions, telemetry, jobs and the dashboard."""
