"""From what names a family of tasks to the family."""

from __future__ import annotations

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.base import TaskFamily


def build_task(named: str | Named) -> TaskFamily:
    """Make the family of tasks that a config names.

    Args:
        named: a name of `TASKS`, or `package.module:Name` of your own, with options or not.

    Raises:
        ValueError: an unknown name or option, with the nearest match, or no family of tasks.

    Example:
        >>> build_task("shapes").max_layers
        4
    """
    found = build("task", TASKS, named)
    if not isinstance(found, TaskFamily):
        name = named if isinstance(named, str) else named.name
        raise ValueError(
            f"task {name!r} gives {type(found).__name__}, which is no family of tasks; derive it "
            "from l2o.envs.tasks.TaskFamily"
        )
    return found
