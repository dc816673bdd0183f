"""Seeds and numbers: any seed that a config takes is one that every generator takes."""

import numpy as np
import pytest
import torch

from l2o.configs.ablation import AblationConfig
from l2o.configs.errors import ConfigError
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.load import check_config, load_config
from l2o.configs.schema import BenchmarkConfig, TrainConfig
from l2o.envs.runtime.seeds import NARROW, narrow_seed
from l2o.policies.algorithms import ALGORITHMS
from l2o.registry import lookup

LARGEST = 2**63 - 1


def test_small_seeds_stay_and_large_ones_fit():
    assert [narrow_seed(seed) for seed in (0, 7, NARROW - 1)] == [0, 7, NARROW - 1]
    large = [narrow_seed(seed) for seed in (NARROW, NARROW + 1, LARGEST)]
    assert len(set(large)) == 3
    for seed in large:
        np.random.RandomState(seed)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "reinforce", "evolution"])
@pytest.mark.parametrize("seed", [NARROW, LARGEST])
def test_every_algorithm_takes_every_seed(algorithm, seed):
    options = {"decisions": 8} if algorithm in ("ppo", "sac") else {"episodes": 4}
    options |= {"minibatches": 1, "epochs": 1} if algorithm == "ppo" else {}
    config = TrainConfig.model_validate(
        {
            "task": {"name": "tiny:TinyFamily"},
            "seed": seed,
            "finetuning": {"interval": 10, "guidance": {}},
            "environment": {"group": 2},
            "network": {"hidden": 8},
            "algorithm": {"name": algorithm, "options": options},
            "workers": 1,
            "environments": 4,
        }
    )
    learner = lookup("algorithm", ALGORITHMS, algorithm)(config=config, **options)
    try:
        learner.iterate()
        assert all(torch.isfinite(p).all() for p in learner.policy().network.parameters())
    finally:
        learner.close()


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (TrainConfig, {"seed": 2**63}),
        (TrainConfig, {"seed": -1}),
        (TrainConfig, {"seed": 10**4000}),
        (TrainConfig, {"workers": 0}),
        (TrainConfig, {"workers": 10**6}),
        (TrainConfig, {"environments": 10**9}),
        (TrainConfig, {"episodes": -5}),
        (TrainConfig, {"minutes": float("nan")}),
        (FinetuneConfig, {"seed": 2**64}),
        (FinetuneConfig, {"task_seed": 2**63}),
        (FinetuneConfig, {"base_lr": float("inf")}),
        (FinetuneConfig, {"base_lr": 1e300}),
        (BenchmarkConfig, {"tasks": 10**9}),
        (BenchmarkConfig, {"bootstrap": 0}),
        (BenchmarkConfig, {"base_lr_factors": [float("nan")]}),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value)[:24],
)
def test_numbers_that_nothing_can_run_with_are_refused_by_name(schema, fields):
    (name,) = fields
    with pytest.raises(ConfigError, match=rf"{name}\S* = "):
        check_config(schema, fields, "here")


@pytest.mark.parametrize("steps", [-1, 0, 10**12])
def test_steps_are_refused_by_name(steps):
    with pytest.raises(ConfigError, match=r"finetuning\.steps = "):
        load_config("finetune", "digits", [f"finetuning.steps={steps}"])


def test_seeds_of_an_ablation_are_checked_too():
    fields = {"variants": {"a": {}, "b": {"seed_shift": 2**63}}, "seeds": [2**63]}
    with pytest.raises(ConfigError) as caught:
        check_config(AblationConfig, fields, "here")
    assert "seeds.0 = " in str(caught.value)
    assert "variants.b.seed_shift = " in str(caught.value)


def test_a_benchmark_that_cannot_be_listed_is_refused():
    with pytest.raises(ConfigError, match="take fewer"):
        check_config(BenchmarkConfig, {"tasks": 10**6, "seeds": 2}, "here")


@pytest.mark.parametrize(
    "options",
    [
        {"minibatches": 0},
        {"decisions": 0},
        {"decisions": -16},
        {"epochs": 2.5},
        {"clip": float("nan")},
        {"max_grad_norm": float("inf")},
    ],
    ids=str,
)
def test_ppo_refuses_impossible_options_by_name(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"algorithm.options.{name}"):
        lookup("algorithm", ALGORITHMS, "ppo")(config=TrainConfig(), **options)
