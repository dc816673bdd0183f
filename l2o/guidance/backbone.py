"""The backbone's parameters, and a copy of them at the start."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from l2o.layers.heads import split_head


def backbone_parameters(
    model: nn.Module, head: nn.Module | str | None = None
) -> dict[str, nn.Parameter]:
    """Return a model's trainable parameters but the head's, by name.

    The head is new: it has no value at the start to be held at.

    Args:
        model: the network that is fine-tuned.
        head: the new head, or its name; None finds it as `group_layers` does.

    Raises:
        ValueError: the head given is none of the model's modules, or nothing but the head is
            trainable.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> list(backbone_parameters(model))
        ['0.weight', '0.bias']
    """
    _, inside = split_head(model, head)
    found = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in inside
    }
    if not found:
        raise ValueError(
            "no trainable parameter lies outside the head, so there is nothing to hold near its "
            "start; name the head, or unfreeze the backbone"
        )
    return found


def copy_parameters(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return constant copies of parameters, to compare with later."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}
