"""Learning LR-control policies."""

from l2o.extras import require

require("l2o.policies", "gymnasium", "stable_baselines3", "tqdm", "tensorboard", extra="train")
