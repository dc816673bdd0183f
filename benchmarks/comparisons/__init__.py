"""Comparisons of policies: one family of tasks, several families, variants of one training."""
