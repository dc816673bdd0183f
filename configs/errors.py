"""The error of configs."""

from __future__ import annotations


class ConfigError(ValueError):
    """A config that cannot be used; the message names each field, its value and the rule.

    Example:
        >>> raise ConfigError("seed = -1: must be 0 or more")
        Traceback (most recent call last):
        l2o.configs.errors.ConfigError: seed = -1: must be 0 or more
    """
