"""The comparison over families: one policy on held-out tasks, against tuned schedules."""
