"""The controller: what is attached to a live torch optimizer, and what it does around a step."""
