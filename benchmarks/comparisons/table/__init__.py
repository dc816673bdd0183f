"""The comparison on one family of tasks: rows x tasks x seeds."""
