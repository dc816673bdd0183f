"""Batch norm that is trained: the same numbers in a stack as alone, and runs that hold still."""

import pytest
import torch
from test_stacked import advance, assert_equal, assert_scores_equal, in_double, pair

from l2o.configs.schema import FineTuning
from l2o.envs.stacked import Start
from l2o.envs.stacked.kernels import load_kernels
from l2o.envs.stacked.vmapped import VmappedStack
from l2o.envs.tasks.composed import ComposedFamily


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Two tasks of one architecture whose batch norm is trained, and one where it is frozen."""
    load_kernels()  # before there is an empty cache, where they would be compiled anew
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("L2O_CACHE", str(tmp_path_factory.mktemp("cache")))
        family = ComposedFamily(
            networks=12,
            architecture="batchnorm",
            kind="patterns",
            pretraining=("same", "none"),
            width=4,
            depth=2,
            classes=3,
            pretrain_steps=4,
            source_images=64,
            target_test_images=32,
        )
        every = [in_double(family.sample(seed)) for seed in range(12)]
    trained = [task for task in every if task.batch_norm == "trained"]
    return trained[:2], [task for task in every if task.batch_norm == "frozen"][:1]


@pytest.mark.parametrize("substitute", [True, False])
def test_equals_single_runs(tasks, substitute):
    trained, frozen = tasks
    starts = [Start(task, seed, 0.05) for seed, task in enumerate([*trained, *frozen])]
    runs, singles = pair(starts, FineTuning(interval=3), substitute=substitute)
    for _ in range(2):
        advance(runs, singles, torch.ones(3, 4))
        assert_equal(runs, singles, 1e-8)
    assert_scores_equal(runs, singles, 1e-8)
    assert not runs.reasons
    kinds = {type(trainer.chunk.stack) for trainer in runs._placement.trainers}
    assert (VmappedStack in kinds) is not substitute


def test_runs_that_have_ended_keep_their_statistics(tasks):
    trained, _ = tasks
    runs, singles = pair([Start(task, 0, 0.05) for task in trained], FineTuning(interval=3))
    advance(runs, singles, torch.ones(2, 4))
    import numpy as np

    advance(runs, singles, torch.ones(2, 4), only=np.array([True, False]))
    assert_equal(runs, singles, 1e-8)
    assert_scores_equal(runs, singles, 1e-8)
