"""A small benchmark on the tiny family, and one cell of it."""

from l2o.benchmarks import make_plan
from l2o.configs.schema import BenchmarkConfig, Grid, Named, Row

TINY = Named(name="tiny:TinyFamily", options={"steps": 20})


def config(**changes):
    base = {
        "task": TINY,
        "tasks": 2,
        "seeds": 2,
        "base_lr_factors": (0.1, 1.0),
        "rows": (Row(label="plain", guidance={}),),
        "grid": Grid(schedules=("cosine",), profiles=("flat", "frozen_backbone")),
        "evaluations": 3,
        "bootstrap": 50,
    }
    return BenchmarkConfig(**{**base, **changes})


def one_cell(**row):
    return make_plan(config(rows=(Row(label="one", **row),), grid=Grid())).cells[0]
