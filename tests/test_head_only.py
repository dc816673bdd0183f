"""Trials that train the new head alone."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from simulator_cases import ALL, SMALL
from torch.nn import functional

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.runtime.executor import Here
from l2o.envs.simulators.learning.setting import Trial
from l2o.envs.simulators.learning.trials import draw_task, run_trials


def test_a_trial_of_the_head_alone_is_linear_probing():
    """Against a plain loop over the frozen network's features."""
    setting = replace(SMALL, head_only=True)
    trial = Trial(0, ALL, seed=3, splits=("target_test",))
    with Here() as executor:
        (found,) = run_trials(setting, [trial], executor)
        (again,) = run_trials(setting, [trial], executor)
    assert found.error == ""
    assert (found.reward, found.scores) == (again.reward, again.scores)

    task = draw_task(setting, trial)
    model = fresh_model(task, seed=3).eval()
    head = model.get_classifier()
    optimizer = torch.optim.SGD(head.parameters(), lr=task.base_lr, momentum=0.9)
    for order in islice(batches(len(task.source_train), task.batch_size, 3), 4):
        images, labels = task.source_train.images[order], task.source_train.labels[order]
        with torch.no_grad():
            features = model.forward_features(images)
        optimizer.zero_grad()
        functional.cross_entropy(model.forward_head(features), labels).backward()
        optimizer.step()
    right = model(task.target_test.images).argmax(1) == task.target_test.labels
    assert found.scores["target_test"]["accuracy"] == pytest.approx(right.float().mean().item())


def test_guidance_has_nothing_to_hold_where_the_head_alone_is_trained():
    guided = FineTuning(steps=4, guidance={"proxy_kl": {"weight": 0.1}})
    with pytest.raises(ValueError, match=r"head_only=true.*proxy_kl.*finetuning.guidance=\{\}"):
        replace(SMALL, head_only=True, finetuning=guided).check()
