"""How a learned policy behaves, in pictures, and which of its signals matter."""
