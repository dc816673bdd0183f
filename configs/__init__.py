"""Configs: documented schema, YAML presets, loading with overrides.

Start with `l2o.configs.load.load_config`; the fields are in `l2o.configs.schema`.
"""
