"""Guidance terms as rows of the observation: a policy scales their weights as it scales layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from l2o.deciding.policy import Policy
from l2o.guidance import Guidance, GuidanceSum
from l2o.signals import MISSING, Measurement
from l2o.signals.table import LAYER_FIELDS, ROW, MeasuredTable, rows_of

Terms = GuidanceSum | Mapping[str, Guidance[Any]]
"""Guidance terms by name, as the user holds them."""


class GuidanceRows:
    """The guidance terms whose weights a policy scales; each is a row after those of the layers.

    A row's multiplier is the term's `scale` in the window that follows. Of a row `present`,
    `is_guidance` and the multiplier are known, and what is known of the whole run; the rest is
    missing, since a term has no weights of its own.

    Args:
        terms: by name, in the order of the rows.

    Raises:
        TypeError: what is given is no guidance term.

    Example:
        >>> from l2o.guidance import ProxyKL
        >>> rows = GuidanceRows({"proxy_kl": ProxyKL(0.3)})
        >>> rows.apply(torch.tensor([2.0]))
        >>> rows.names, rows.terms["proxy_kl"].weight_at(0.0)
        (['guidance/proxy_kl'], 0.6)
    """

    def __init__(self, terms: Mapping[str, Guidance[Any]]) -> None:
        self.terms = dict(terms)
        for name, term in self.terms.items():
            if not isinstance(term, Guidance):
                raise TypeError(
                    f"guidance must be terms of l2o.guidance by name, got {name!r}: {term!r:.100}"
                )

    @classmethod
    def of(cls, given: Terms | None, policy: Policy | None) -> GuidanceRows:
        """Return the rows of a run: those that the policy has, or without one all that are given.

        Raises:
            ValueError: a term that the policy scales is not given.
        """
        terms = given.terms if isinstance(given, GuidanceSum) else dict(given or {})
        if policy is None:
            return cls(terms)
        if missing := [name for name in policy.guidance_actions if name not in terms]:
            raise ValueError(
                f"this policy scales the weight of guidance {', '.join(missing)}, but the run has "
                f"{', '.join(terms) or 'no guidance'}; give the terms of its loss by these names, "
                "as in LRController(..., guidance={'proxy_kl': term}), or use a policy without "
                "guidance actions"
            )
        return cls({name: terms[name] for name in policy.guidance_actions})

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def names(self) -> list[str]:
        """Names of the rows, beside those of layer groups."""
        return [f"guidance/{name}" for name in self.terms]

    def apply(self, multipliers: Tensor) -> None:
        """Scale the terms' weights by multipliers `[rows]`."""
        for term, multiplier in zip(self.terms.values(), multipliers.tolist(), strict=True):
            term.rescale(multiplier)

    def release(self) -> None:
        """Give the terms their own weights back."""
        for term in self.terms.values():
            term.rescale(1.0)

    def join(self, measured: Measurement, multipliers: Tensor) -> Measurement:
        """Return a measurement of layers with these rows after them.

        Args:
            measured: of the layers.
            multipliers: `[rows]`, those of the window that ends here.
        """
        if not self.terms:
            return measured
        layers = rows_of(measured)
        own = layers[:, :1].repeat(1, len(self.terms))
        own[[ROW[name] for name in LAYER_FIELDS]] = MISSING
        own[[ROW["present"], ROW["is_guidance"]]] = 1.0
        own[ROW["is_head"]] = 0.0
        own[ROW["multiplier"]] = multipliers.to(own)
        return MeasuredTable(torch.cat([layers, own], dim=1))


def layers_of(measured: Measurement) -> tuple[Measurement, Tensor]:
    """Return a measurement without the rows of guidance terms, and which rows are layers."""
    layers = measured.is_guidance < 0.5
    if bool(layers.all()):
        return measured, layers
    return MeasuredTable(rows_of(measured)[:, layers]), layers
