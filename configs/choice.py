"""What sets the learning rates of one training."""

from __future__ import annotations

from pydantic import model_validator

from l2o.configs.base import Named, Options, Strict


class PolicyChoice(Strict):
    """What sets the learning rates: a learned policy, a rule, or a schedule with a profile."""

    policy: str | None = None
    """A shipped policy's name, a bundle's folder, a run's folder, or a dotted path."""
    sample: bool = False
    """Draw a learned policy's factors from its categorical, by the seed; else the likeliest ones.
    Only with `policy`, and one that chooses among factors (bins)."""
    rule: Named | str | None = None
    """A policy that is a formula: auto_rgn, random, constant_layers; used when `policy` is null."""
    schedule: Named | str = "constant"
    """Schedule over time, used when `policy` and `rule` are null."""
    profile: Named | str = "flat"
    """Layer profile, used when `policy` and `rule` are null."""
    early_stopping: Options | None = None
    """Arguments of early stopping (patience, budget); null for none."""

    @model_validator(mode="after")
    def _check_one(self) -> PolicyChoice:
        if self.policy is not None and self.rule is not None:
            raise ValueError("policy and rule are both given; leave one of them out")
        return self
