"""Patches of photographs, and noise with their spectra: a task family with no download."""

from l2o.envs.tasks.textures.family import TexturesFamily

__all__ = ["TexturesFamily"]
