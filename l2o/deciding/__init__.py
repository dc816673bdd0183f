"""Policies: from an observation to multipliers; learned ones, schedules, and bundles of files."""
