"""Servers under load: how fast they answer, and what becomes of them when they are ill-treated."""
