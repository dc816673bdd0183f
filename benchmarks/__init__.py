"""Quality comparisons of policies and schedules, with statistics and reports.

Names are loaded on first use, so that a list of studies need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING

from l2o.extras import require

if TYPE_CHECKING:
    from l2o.benchmarks.comparisons.kinds import print_table, run_benchmark, write_report
    from l2o.benchmarks.comparisons.table.plan import make_plan

# Looked for, not imported: a list of studies must not wait for them.
require("l2o.benchmarks", "gymnasium", "pydantic", "matplotlib", "scipy", "jinja2", extra="bench")

_HOMES = {
    "make_plan": "table.plan",
    "print_table": "kinds",
    "run_benchmark": "kinds",
    "write_report": "kinds",
}

__all__ = ["make_plan", "print_table", "run_benchmark", "write_report"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.comparisons.{_HOMES[name]}"), name)
