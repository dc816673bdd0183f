"""Measuring a live run: norms, updates and losses, read once a decision."""
