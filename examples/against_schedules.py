"""Hold a policy against hand-tuned schedules, from Python.

Shows: a benchmark of a shipped policy, a rule, and a grid of schedules at base learning rates from
thirty times too small to thirty times too large, on the tasks of `train_a_policy.py` beside this
file. Everything is scored on the held-out split; `report.html` has all tables and figures.

    pip install 'l2o[bench]'
    python against_schedules.py
"""

from pathlib import Path

from l2o.benchmarks import print_table, run_benchmark, write_report
from l2o.configs.schema import BenchmarkConfig

CONFIG = BenchmarkConfig.model_validate(
    {
        "title": "A shipped policy against schedules, on points",
        "task": {"name": "train_a_policy:Points", "options": {"split": "heldout"}},
        "tasks": 2,
        "seeds": 2,
        "finetuning": {"interval": 5},
        "base_lr_factors": [0.0333333, 1.0, 30.0],
        "policy": "asg-base",
        "rows": [{"label": "auto RGN", "rule": "auto_rgn"}],
        "grid": {"schedules": ["constant", "cosine"], "profiles": ["flat", "small_backbone"]},
        "evaluations": 3,
        "bootstrap": 500,
    }
)


def main() -> None:
    """Run what is missing of the benchmark, print its tables, write its report."""
    folder = Path("runs/against-schedules")
    run_benchmark(CONFIG, folder, workers=1, progress=False)
    print_table(folder)
    print(write_report(folder))


if __name__ == "__main__":
    main()
