"""Kills a server again and again while it runs jobs, and looks for what was lost."""
