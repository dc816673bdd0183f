"""Reward terms: exact numbers, metrics by name and direction, errors that name the nearest."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o.configs.schema import Environment
from l2o.envs.objectives import Classification, Regression, Segmentation
from l2o.envs.rewards import REWARDS, Outcome
from l2o.envs.rewards.weighted import WeightedRewards


def outcome(done=False, objective=None, **numbers):
    """Return an outcome: keywords are `target_accuracy` and the like, or fields."""
    scores = {"source_validation": {}, "target_validation": {}}
    fields = {}
    for name, value in numbers.items():
        short, _, metric = name.partition("_")
        if short in ("target", "validation"):
            split = "target_validation" if short == "target" else "source_validation"
            scores[split][metric] = value
        else:
            fields[name] = value
    objective = objective or Classification()
    return Outcome(scores=scores, objective=objective, done=done, **fields)


BEFORE = outcome(
    source_loss=2.0,
    proxy_kl=0.25,
    validation_loss=1.5,
    validation_accuracy=0.5,
    target_accuracy=0.25,
    target_mean_class_accuracy=0.5,
)
AFTER = outcome(
    done=True,
    source_loss=1.5,
    proxy_kl=0.5,
    validation_loss=1.25,
    validation_accuracy=0.625,
    target_accuracy=0.75,
    target_mean_class_accuracy=0.25,
)
EXPECTED = {
    "proxy_kl": -0.5,
    "proxy_kl_change": -0.25,
    "source_loss": -1.5,
    "source_loss_change": 0.5,
    "validation": 0.125,
    "validation_loss_change": 0.25,
    "final_validation": 0.625,
    "final_validation_accuracy": 0.625,
    "target": 0.5,
    "target_accuracy_change": 0.5,
    "final_target": 0.75,
    "final_target_accuracy": 0.75,
    "divergence": 0.0,
}


def test_every_term_has_an_exact_number():
    assert EXPECTED.keys() == REWARDS.keys()


@pytest.mark.parametrize("name", REWARDS)
def test_exact_numbers(name):
    reward = WeightedRewards({name: 2.0}, Classification())
    assert reward.judge(BEFORE, AFTER) == (2 * EXPECTED[name], {name: 2 * EXPECTED[name]})
    assert WeightedRewards({name: {}}, Classification()).judge(BEFORE, AFTER)[0] == EXPECTED[name]


@pytest.mark.parametrize("name", REWARDS)
def test_what_was_not_measured_earns_nothing(name):
    reward = WeightedRewards({name: 1.0}, Classification())
    assert reward.judge(Outcome(), Outcome(done=True))[0] == 0.0
    assert reward.judge(AFTER, AFTER)[0] == 0.0


@pytest.mark.parametrize(
    ("term", "options", "expected"),
    [
        ("target", {"metric": "mean_class_accuracy"}, -0.25),
        ("final_target", {"metric": "mean_class_accuracy"}, 0.25),
        ("validation", {"metric": "loss"}, 0.25),
        ("final_validation", {"metric": "loss", "weight": 4}, -5.0),
        ("target", {"metric": "accuracy", "weight": 10.0}, 5.0),
    ],
)
def test_a_metric_by_name(term, options, expected):
    assert WeightedRewards({term: options}, Classification()).judge(BEFORE, AFTER)[0] == expected


@given(before=st.floats(0, 5), after=st.floats(0, 5))
def test_where_less_is_better_the_sign_is_turned(before, after):
    one, other = (outcome(objective=Regression(), target_rmse=v) for v in (before, after))
    change = WeightedRewards({"target": 1.0}, Regression()).judge(one, other)[0]
    assert change == before - after
    last = outcome(done=True, objective=Regression(), target_rmse=after)
    assert WeightedRewards({"final_target": 1.0}, Regression()).judge(one, last)[0] == -after


def test_the_main_metric_is_the_objectives():
    one, other = (outcome(objective=Segmentation(), target_miou=value) for value in (0.25, 0.5))
    assert WeightedRewards({"target": 10.0}, Segmentation()).judge(one, other)[0] == 2.5


def test_what_is_scored_at_every_decision_is_what_terms_read():
    named = {"target": 1.0, "divergence": 1.0, "final_validation": 1.0}
    assert WeightedRewards(named, Classification()).needs == {
        "target_validation",
        "source_validation",
    }
    assert WeightedRewards({"divergence": 1.0}, Classification()).needs == set()


def test_infos_name_metrics_by_split():
    facts = AFTER.facts()
    assert facts["target_accuracy"] == 0.75
    assert facts["validation_loss"] == 1.25
    assert facts["done"]
    assert not facts["diverged"]
    assert "target_loss" not in facts
    lost = outcome(target_loss=math.nan, target_accuracy=0.0)
    assert "target_loss" not in lost.facts()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"targt": 1.0}, "Did you mean 'target'"),
        ({"target": {"metrik": "loss"}}, "Did you mean 'metric'"),
        ({"target": {"metric": "acuracy"}}, r"metric of objective 'classification'.*'accuracy'"),
        ({"target": {"weight": "ten"}}, "weight of reward 'target' must be a number"),
        ({"target": {"weight": math.inf}}, "weight of reward 'target' must be a number"),
        ({"divergence": {"metric": "loss"}}, "has no option 'metric'"),
    ],
)
def test_bad_terms_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        WeightedRewards(named, Classification())


def test_configs_take_weights_and_arguments():
    rewards = {"target": {"weight": 10, "metric": "accuracy"}, "divergence": 1}
    config = Environment.model_validate({"rewards": rewards})
    assert config.rewards == {"target": {"weight": 10, "metric": "accuracy"}, "divergence": 1.0}
    made = WeightedRewards(config.rewards, Classification())
    assert made.weights == {"target": 10.0, "divergence": 1.0}
    with pytest.raises(ValueError, match="rewards"):
        Environment.model_validate({"rewards": {"target": "ten"}})
