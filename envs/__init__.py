"""Gymnasium environments over fine-tunes; importing this registers `l2o/SynToReal-v0`."""

from l2o.extras import needed_by

with needed_by("l2o.envs", "train"):
    import gymnasium

    from l2o.envs.environment import FineTuneEnv
    from l2o.envs.fine_tuning.fine_tune import FineTune

gymnasium.register(
    id="l2o/SynToReal-v0",
    entry_point="l2o.envs.environment:FineTuneEnv",
    vector_entry_point="l2o.envs.stacked.environment:StackedFineTuneEnv",
)

__all__ = ["FineTune", "FineTuneEnv"]
