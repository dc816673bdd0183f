"""The ablation: policies learned alike but for one thing, scored on the same episodes."""

from l2o.benchmarks.comparisons.ablation.run import run_ablation

__all__ = ["run_ablation"]
