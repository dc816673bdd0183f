"""The networks that learned policies run."""
