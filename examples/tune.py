"""Search for a fine-tune's learning rate and schedule, and read what was found.

Shows: a search as Python values, on two cores by Ray Tune, its best config as YAML, and what its
early stopping saved.

    pip install 'l2o[ray]'
    python tune.py
"""

from pathlib import Path

from l2o.benchmarks.tuning.run import run_search
from l2o.configs.load import check_config
from l2o.configs.tune import TuneConfig

SEARCH = {
    "config": "digits",
    "changes": {"finetuning.steps": 30, "task.options.networks": 1},
    "search": {
        "base_lr": {"loguniform": [1e-3, 0.3]},
        "choice.schedule": {"choice": ["constant", "cosine"]},
    },
    "trials": 4,
    "reports": 3,
    "scheduler": "asha",
}


def main() -> None:
    """Search, and tell what was found."""
    config = check_config(TuneConfig, SEARCH, "the search")
    found = run_search(config, Path("runs/tune"), progress=False)
    for trial in found.trials:
        print(trial.number, dict(trial.params), f"step {trial.step}:", trial.outcome)
    print(f"{found.steps} of {4 * 30} steps; l2o finetune runs/tune/best.yaml")


if __name__ == "__main__":
    main()
