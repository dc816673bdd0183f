"""Quality comparisons of policies and schedules, with statistics and reports."""

from l2o.extras import needed_by

with needed_by("l2o.benchmarks", "bench"):
    from l2o.benchmarks.comparisons.kinds import print_table, run_benchmark, write_report
    from l2o.benchmarks.comparisons.table.plan import make_plan

__all__ = ["make_plan", "print_table", "run_benchmark", "write_report"]
