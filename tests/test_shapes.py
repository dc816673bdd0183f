"""The shapes family: segmentation from the task to the benchmark."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from l2o.benchmarks import run_benchmark
from l2o.configs.schema import BenchmarkConfig, FineTuning
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.stacked import StackedFineTune, StackedFineTuneEnv, Start
from l2o.envs.tasks import Examples
from l2o.envs.tasks.shapes import ShapesFamily
from l2o.envs.tasks.shapes.drawing import CLASSES, VOID
from l2o.service.cli import app

SMALL = {
    "networks": 1,
    "pretrain_steps": 60,
    "source_images": 48,
    "source_validation_images": 16,
    "target_validation_images": 16,
    "target_test_images": 16,
    "proxy_test_images": 16,
    "steps": 20,
    "batch_size": 8,
}
SPLITS = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Keep the small networks out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("L2O_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def family():
    return ShapesFamily(**SMALL)


def test_a_task_is_a_pure_function_of_its_seed(family):
    one, two, other = (ShapesFamily(**SMALL).sample(seed) for seed in (3, 3, 4))
    for split in SPLITS:
        mine, theirs = getattr(one, split), getattr(two, split)
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
        assert not torch.equal(mine.images, getattr(other, split).images)
    for mine, theirs in zip(one.build_model().parameters(), two.build_model().parameters()):
        assert torch.equal(mine, theirs)
    held = ShapesFamily("heldout", **SMALL).sample(3)
    assert not torch.equal(held.target_test.images, one.target_test.images)
    assert not torch.equal(held.build_model().conv1.weight, one.build_model().conv1.weight)


def test_every_pixel_has_a_class_or_is_void(family):
    task = family.sample(0)
    assert task.objective == "segmentation"
    for split in SPLITS:
        examples = getattr(task, split)
        assert examples.images.shape[1:] == (3, 16, 16)
        assert examples.images.abs().max() <= 1
        assert examples.labels.shape[1:] == (16, 16)
        assert set(examples.labels.unique().tolist()) == {0, 1, 2, 3, VOID}
        void = (examples.labels == VOID).float().mean()
        assert 0.02 < void < 0.4
    model = task.build_model()
    logits = model.forward_head(model.forward_features(task.target_test.images))
    assert logits.shape == (16, len(CLASSES), 16, 16)
    torch.testing.assert_close(
        task.proxy_head(model.forward_features(task.source_train.images)), task.teacher_logits
    )


def test_fine_tuning_learns_to_segment_and_guidance_keeps_the_proxy():
    family = ShapesFamily(**SMALL | {"pretrain_steps": 300, "steps": 150, "source_images": 256})
    task = family.sample(0)
    kept = []
    for guidance in ({}, {"proxy_kl": {"weight": 1.0}}):
        run = FineTune(task, FineTuning(guidance=guidance))
        known = run.proxy_scores()["miou"]
        assert known > 0.8
        run.advance(run.steps)
        assert run.objective.metric().chance == pytest.approx(1 / 7)
        assert run.scores("source_validation")["miou"] > 0.3
        assert run.scores("source_validation")["pixel_accuracy"] > 0.8
        kept.append(run.proxy_scores()["miou"])
    assert kept[0] + 0.1 < kept[1]


@pytest.mark.parametrize("guidance", [{}, {"proxy_kl": {}, "feature_l2": {}, "l2_sp": {}}])
def test_a_stack_has_the_numbers_of_single_fine_tunes(family, guidance):
    config = FineTuning(interval=5, guidance=guidance)
    tasks = [in_double(family.sample(seed)) for seed in range(2)]
    stack = StackedFineTune(config, 2, 4, validate=True)
    stack.reset({number: Start(task, seed=number) for number, task in enumerate(tasks)})
    singles = [
        FineTune(task, config, seed=number, validate=True) for number, task in enumerate(tasks)
    ]
    assert not stack.reasons
    for _ in range(2):
        stack.advance()
        for single in singles:
            single.advance(single.window)
    for number, single in enumerate(singles):
        torch.testing.assert_close(
            stack.observation[number], single.controller.observation, atol=1e-3, rtol=1e-3
        )
        assert float(stack.last_proxy_kl[number]) == pytest.approx(single.last_proxy_kl, rel=1e-6)
        for split in ("source_validation", "target_test"):
            found = stack.evaluate([split])[split]
            assert {k: v[number] for k, v in found.items()} == pytest.approx(single.scores(split))
        kept = stack.evaluate(["proxy_test"])["proxy_test"]
        assert kept["miou"][number] == pytest.approx(single.proxy_scores()["miou"])


def in_double(task):
    """Return a task in float64."""
    changed = {}
    for split in SPLITS:
        examples = getattr(task, split)
        changed[split] = Examples(examples.images.double(), examples.labels)
    build = task.build_model
    return replace(
        task,
        **changed,
        build_model=lambda: build().double(),
        proxy_head=copy.deepcopy(task.proxy_head).double(),
        teacher_logits=task.teacher_logits.double(),
    )


REWARDS = {"target": 10.0, "final_target": {"metric": "pixel_accuracy"}, "validation": 1.0}


def test_the_environment_runs_it_stacked_and_alone(family):
    config = {"rewards": REWARDS, "signal_dropout": 0.0}
    env = FineTuneEnv(family, {"interval": 5}, config)
    many = StackedFineTuneEnv(family, {"interval": 5}, config, num_envs=2)
    env.action_space.seed(0)
    seen, _ = env.reset(seed=1)
    both, _ = many.reset(seed=1)
    np.testing.assert_allclose(both[0], seen, atol=1e-3)
    first = env.run.scores("target_validation")["miou"]
    total = 0.0
    for _ in range(4):
        action = env.action_space.sample()
        seen, reward, done, _, info = env.step(action)
        total += info["rewards"]["target"]
        _, rewards, _, _, infos = many.step(np.stack([action, action]))
        assert rewards[0] == pytest.approx(reward, abs=0.05)
        assert infos["target_miou"][0] == pytest.approx(info["target_miou"], abs=0.01)
    assert done
    assert total == pytest.approx(10 * (info["target_miou"] - first))
    assert info["rewards"]["final_target"] == info["target_pixel_accuracy"]


def test_a_metric_that_the_objective_does_not_have_is_refused_before_any_work(family):
    with pytest.raises(ValueError, match=r"'pixel_acuracy'.*'pixel_accuracy'"):
        FineTuneEnv(family, None, {"rewards": {"target": {"metric": "pixel_acuracy"}}})
    with pytest.raises(ValueError, match=r"objective 'segmentation'.*'accuracy'"):
        FineTuneEnv(family, None, {"rewards": {"target_accuracy_change": 10.0}})


def test_a_stack_has_tasks_of_one_objective(family):
    from tiny import TinyFamily

    stack = StackedFineTune(FineTuning(guidance={}), 2, 4)
    with pytest.raises(ValueError, match="have different metrics"):
        stack.reset({0: Start(family.sample(0)), 1: Start(TinyFamily().sample(0))})


def settings(**fields):
    return {"task": {"name": "shapes", "options": SMALL}, "finetuning": {"interval": 5}} | fields


def test_finetune_command(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps(settings(choice={"schedule": "cosine"})))
    result = CliRunner().invoke(app, ["finetune", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "target miou 0." in result.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metric"] == "miou"
    assert results["chance"] == pytest.approx(1 / 7)


def test_benchmark_command(tmp_path):
    rows = [{"label": name, "schedule": name} for name in ("cosine", "constant")]
    fields = {"tasks": 2, "seeds": 1, "base_lr_factors": [1.0], "rows": rows}
    out = run_benchmark(BenchmarkConfig.model_validate(settings(**fields)), tmp_path / "b", 1)
    records = [json.loads(line) for line in (tmp_path / "b" / "cells.jsonl").open()]
    assert len(records) == 4
    for record in records:
        assert record["error"] is None
        assert 0 < record["scores"]["target_test"]["miou"] < 1
        assert record["metric"] == "miou"
    assert out.exists()
