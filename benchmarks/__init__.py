"""Quality comparisons of policies and schedules, with statistics and reports."""

from l2o.benchmarks.plan import make_plan
from l2o.benchmarks.report import write_report
from l2o.benchmarks.run import run_benchmark
from l2o.benchmarks.terminal import print_table

__all__ = ["make_plan", "print_table", "run_benchmark", "write_report"]
