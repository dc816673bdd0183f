"""The zero-shot comparison: one policy on held-out families of tasks, against tuned schedules."""

from l2o.benchmarks.comparisons.zero_shot.run import run_zero_shot

__all__ = ["run_zero_shot"]
