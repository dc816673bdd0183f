"""What the documentation site is made with: pages of the reference, and docstrings as text."""
