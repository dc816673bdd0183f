"""Studies: looks at one policy, at learning, at harm, and at other data."""
