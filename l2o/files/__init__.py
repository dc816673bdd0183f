"""Files that are written whole, sealed, and read without surprises."""
