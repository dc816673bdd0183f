"""The reward of a decision: terms by name, weighted and summed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2o.checks import check_number
from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.objectives import Objective
from l2o.envs.rewards import REWARDS, Outcome, Reward


class WeightedRewards:
    """The sum of weighted terms.

    Args:
        named: term -> weight, or its arguments with a weight among them (1 if there is none), as
            configs name them: `{target: 10.0}`, `{target: {weight: 10.0, metric: miou}}`.
        objective: what the tasks are scored by.

    Attributes:
        terms: name -> the term.
        weights: name -> its weight.
        needs: splits that are scored at every decision.

    Raises:
        ValueError: an unknown term, argument or metric, with the nearest match; or a weight that
            is no number.

    Example:
        >>> from l2o.envs.objectives import Classification
        >>> reward = WeightedRewards({"divergence": 2.0}, Classification())
        >>> reward.judge(Outcome(), Outcome(diverged=True))
        (-2.0, {'divergence': -2.0})
    """

    def __init__(
        self, named: Mapping[str, float | Mapping[str, Any]], objective: Objective
    ) -> None:
        self.terms: dict[str, Reward] = {}
        self.weights: dict[str, float] = {}
        for name, given in named.items():
            options = dict(given) if isinstance(given, Mapping) else {"weight": given}
            weight = options.pop("weight", 1.0)
            check_number(f"weight of reward {name!r}", weight, low=-1e6, high=1e6)
            term = build("reward", REWARDS, Named(name=name, options=options))
            term.check(objective)
            self.terms[name], self.weights[name] = term, float(weight)
        self.needs = frozenset[str]().union(*(term.needs for term in self.terms.values()))

    def judge(self, before: Outcome, after: Outcome) -> tuple[float, dict[str, float]]:
        """Return a decision's reward, and its weighted terms by name.

        A fine-tune that had ended before (in a stack it waits for its group) earns nothing.
        """
        each = {
            name: 0.0 if before.done else self.weights[name] * term(before, after)
            for name, term in self.terms.items()
        }
        return float(sum(each.values())), each
