"""policies/sb3."""
