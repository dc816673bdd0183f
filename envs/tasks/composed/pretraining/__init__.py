"""What networks have seen before they are fine-tuned, by name."""

from l2o.envs.tasks.composed.pretraining.base import Pretraining
from l2o.envs.tasks.composed.pretraining.colours import Colours
from l2o.envs.tasks.composed.pretraining.nothing import Nothing
from l2o.envs.tasks.composed.pretraining.overtrained import Overtrained
from l2o.envs.tasks.composed.pretraining.related import Related
from l2o.envs.tasks.composed.pretraining.rotation import Rotation
from l2o.envs.tasks.composed.pretraining.same import Same
from l2o.envs.tasks.composed.pretraining.unrelated import Unrelated
from l2o.envs.tasks.composed.pretraining.weak import Weak

PRETRAINING: dict[str, Pretraining] = {
    "same": Same(),
    "weak": Weak(),
    "related": Related(),
    "unrelated": Unrelated(),
    "rotation": Rotation(),
    "none": Nothing(),
    "overtrained": Overtrained(),
    "colours": Colours(),
}

__all__ = ["PRETRAINING", "Pretraining"]
