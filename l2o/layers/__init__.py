"""Layer groups: which parameters of a model share one multiplier."""
