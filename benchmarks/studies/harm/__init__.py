"""Does a policy, plugged into a real training loop, ever do harm? `l2o study harm`.

Each run under a policy is compared with the plain run of the same setting, without a controller.
`loop` is a user's own loop (networks x optimizers x schedules), `start` the first 50 steps under
heads of all widths, `trainer` Hugging Face's Trainer. What each must show is in `study.py`.
"""
