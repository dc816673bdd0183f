"""Configs: documented schema, YAML presets, loading with overrides.

Start with `l2o.configs.load.load_config`; the fields are in `l2o.configs.schema`.
"""

from l2o.extras import require

require("l2o.configs", "pydantic", "ruamel", extra="train")
