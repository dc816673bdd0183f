"""One fine-tune of a comparison: what decides it, running it, and its record."""
