"""envs/tasks/digits."""
