"""Optimizers of our own."""
