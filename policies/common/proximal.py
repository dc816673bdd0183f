"""Checks of the options that every PPO has, whoever's it is."""

from __future__ import annotations

from l2o.checks import check_number
from l2o.policies.common.options import check_counts


def check_batches(decisions: int, epochs: int, minibatches: int, environments: int) -> None:
    """Raise unless an iteration's decisions divide among environments and minibatches.

    Raises:
        ValueError: they do not, or a number is none.

    Example:
        >>> check_batches(decisions=480, epochs=10, minibatches=4, environments=16)
    """
    check_counts(decisions=decisions, epochs=epochs, minibatches=minibatches)
    if decisions % environments or decisions % minibatches:
        raise ValueError(
            f"algorithm.options.decisions={decisions} must be a multiple of the {environments} "
            f"environments and of minibatches={minibatches}"
        )


def check_learning(
    *,
    learning_rate: float,
    discount: float,
    gae_lambda: float,
    log_std: float,
    clip: float,
    entropy: float,
    value: float,
    max_grad_norm: float,
    target_kl: float | None,
) -> None:
    """Raise unless all are numbers in their ranges.

    Raises:
        ValueError: one is not; the message names it.
    """
    for name, number in (("learning_rate", learning_rate), ("entropy", entropy), ("value", value)):
        check_number(f"algorithm.options.{name}", number)
    for name, number in (("discount", discount), ("gae_lambda", gae_lambda)):
        check_number(f"algorithm.options.{name}", number, 0.0, 1.0)
    check_number("algorithm.options.log_std", log_std, -20.0, 20.0)
    for name, number in (("clip", clip), ("max_grad_norm", max_grad_norm)):
        check_number(f"algorithm.options.{name}", number, above=True)
    if target_kl is not None:
        check_number("algorithm.options.target_kl", target_kl, above=True)
