"""Small settings of trials that learn what to draw."""

from l2o.configs.schema import FineTuning, Named
from l2o.envs.simulators import Continuous, Space
from l2o.envs.simulators.learning.setting import Setting

DIGITS = Named(
    name="digits", options={"split": "train", "networks": 1, "width": 4, "pretrain_steps": 40}
)
TINY = FineTuning(steps=4, guidance={})
SMALL = Setting(DIGITS, finetuning=TINY, images=40, validation_images=20)
ALL = {"kind": "uniform"}
WORDS = [
    "simulator-digits",
    "task.options={split: train, networks: 1, width: 4, pretrain_steps: 40}",
    "finetuning.steps=4",
    "images=40",
    "trials=6",
    "evaluation=1",
    "search.options={batch: 2}",
]
SPACE = Space({f"p{i}": Continuous(0.0, 1.0, 0.5, "a parameter") for i in range(3)})
