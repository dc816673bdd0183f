"""The hostile set: does a policy, plugged into a real training loop, ever do harm?

    python -m l2o.benchmarks.studies.hostile --workers 2 --out runs/hostile

Each run under a policy is compared with the plain run of the same setting, without a controller.
`loop` is a user's own loop (networks x optimizers x schedules), `start` the first 50 steps under
heads of all widths, `trainer` Hugging Face's Trainer. What each must show is in `sets.py`.
"""
