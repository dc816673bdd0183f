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


def check_learning(rate: float, discount: float, gae_lambda: float, log_std: float) -> None:
    """Raise unless these are numbers in their ranges.

    Raises:
        ValueError: one is not; the message names it.
    """
    check_number("algorithm.options.learning_rate", rate)
    check_number("algorithm.options.discount", discount, 0.0, 1.0)
    check_number("algorithm.options.gae_lambda", gae_lambda, 0.0, 1.0)
    check_number("algorithm.options.log_std", log_std, -20.0, 20.0)


def check_loss(clip: float, entropy: float, value: float, norm: float, kl: float | None) -> None:
    """Raise unless what the loss is made of are numbers in their ranges.

    Raises:
        ValueError: one is not; the message names it.
    """
    check_number("algorithm.options.clip", clip, above=True)
    check_number("algorithm.options.entropy", entropy)
    check_number("algorithm.options.value", value)
    check_number("algorithm.options.max_grad_norm", norm, above=True)
    if kl is not None:
        check_number("algorithm.options.target_kl", kl, above=True)
