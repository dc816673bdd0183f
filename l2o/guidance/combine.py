"""Several guidance terms added up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from l2o.guidance.base import Guidance


class GuidanceSum:
    """The sum of guidance terms, each with its own weight and cap.

    Args:
        terms: by name.

    Attributes:
        terms: by name.
        last: each term's newest value, weighted and detached, by name.
        needs: what students and teachers must hold: members of `COMPARED`.

    Example:
        >>> from l2o.guidance import FeatureL2, ProxyKL
        >>> guidance = GuidanceSum({"proxy_kl": ProxyKL(0.3), "feature_l2": FeatureL2(0.5)})
        >>> sorted(guidance.needs)
        ['features', 'logits']
        >>> student = {"logits": torch.zeros(2, 3), "features": torch.ones(2, 4)}
        >>> teacher = {"logits": torch.zeros(2, 3), "features": torch.zeros(2, 4)}
        >>> guidance(student, teacher)
        tensor(2.)
        >>> guidance.last["feature_l2"]
        tensor(2.)
    """

    def __init__(self, terms: Mapping[str, Guidance[Any]]) -> None:
        self.terms = dict(terms)
        self.last: dict[str, Tensor] = {}
        self.needs = frozenset(term.compares for term in self.terms.values())

    def __call__(
        self, student: Mapping[str, Any], teacher: Mapping[str, Any], progress: float = 0.0
    ) -> Tensor:
        """Return the sum, a scalar.

        Args:
            student: what the terms compare -> that of the trained network.
            teacher: likewise of the frozen one.
            progress: in [0, 1], for scheduled weights.

        Raises:
            ValueError: something that a term compares is missing.
        """
        for who, held in (("student", student), ("teacher", teacher)):
            if missing := sorted(self.needs - set(held)):
                raise ValueError(
                    f"guidance by {', '.join(self.terms)} compares "
                    f"{', '.join(sorted(self.needs))}, but the {who} holds no {', '.join(missing)}"
                )
        total: Tensor | None = None
        for name, term in self.terms.items():
            value = term(student[term.compares], teacher[term.compares], progress)
            self.last[name] = value.detach()
            total = value if total is None else total + value
        return torch.zeros(()) if total is None else total

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield what the optimizer must train beside the student."""
        for term in self.terms.values():
            yield from term.parameters()

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the states of all terms, by name."""
        return {name: term.state_dict() for name, term in self.terms.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: the states are not of these terms.
        """
        if set(state) != set(self.terms):
            raise ValueError(
                f"states of {sorted(state)} do not fit guidance by {sorted(self.terms)}; "
                "build the same terms first"
            )
        for name, term in self.terms.items():
            term.load_state_dict(state[name])
