"""envs/rewards."""
