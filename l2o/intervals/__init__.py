"""Intervals: how many optimizer steps lie between decisions."""

from l2o.intervals.asg_release import ASGRelease
from l2o.intervals.base import Interval
from l2o.intervals.every import Every
from l2o.intervals.growing import Growing
from l2o.intervals.windows import Windows

INTERVALS: dict[str, type[Interval]] = {
    "every": Every,
    "growing": Growing,
    "asg_release": ASGRelease,
}

__all__ = ["INTERVALS", "ASGRelease", "Every", "Growing", "Interval", "Windows"]
