"""Ray as an executor: many machines, or this one."""
