"""policies/zoo."""
