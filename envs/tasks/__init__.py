"""envs/tasks."""
