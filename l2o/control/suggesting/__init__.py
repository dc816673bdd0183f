"""What to take for a training: candidates tried in short runs, and what they tell."""
