"""envs/optimizers."""
