"""Damaged files: every kind of file that a run leaves, damaged in every way, and what is said."""
