"""Which way of stacking an architecture takes: the fastest whose numbers are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2o.envs.stacked.compiled import CompiledStack, compilable
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.stack import Stack
from l2o.envs.stacked.substituted import SubstitutedStack
from l2o.envs.stacked.vmapped import VmappedStack

_COUNT, _EXAMPLES = 2, 3


def choose_stack(
    model: nn.Module,
    proxy_head: nn.Module,
    example: Tensor,
    kernels: bool = True,
    maps: WantedMaps | None = None,
) -> tuple[type[Stack], str]:
    """Return the kind of stack for a model, and the reason if it is not a fast one.

    Two networks with random weights are run both ways on random input; logits of the classifier
    and of the proxy head must agree, maps that are wanted, too, and so must the gradients.

    Args:
        model: one network, after timm's convention.
        proxy_head: its proxy head.
        example: one input, without a batch dimension.
        kernels: whether compiled kernels may be used: on CPU, not under autocast.
        maps: of layers that are looked at.
    """
    tensors = _random(model)
    proxy_tensors = _random(proxy_head)
    generator = torch.Generator().manual_seed(0)
    shape = (_EXAMPLES, _COUNT, *example.shape)
    examples = torch.rand(shape, generator=generator).to(example)
    wanted = list(tensors.values())
    plain = VmappedStack(model, proxy_head, tensors, proxy_tensors, _COUNT)
    theirs: list[Tensor] | None = None
    reason = ""
    fast = [CompiledStack] if kernels and compilable(model) else []
    for kind in (*fast, SubstitutedStack):
        try:
            stack = kind(model, proxy_head, tensors, proxy_tensors, _COUNT)
            # Twice: a stack may learn in its first pass what it does in all others.
            passes = [_run(stack, examples, wanted, maps) for _ in range(2)]
        except Exception as error:  # whatever the model's code does with stacked shapes
            reason = f"{type(error).__name__}: {error}"
            continue
        theirs = theirs or _run(plain, examples, wanted, maps)
        if all(_agree(mine, theirs) for mine in passes):
            return kind, ""
        reason = "its numbers differ from those of torch.func.vmap"
    return VmappedStack, reason


def _agree(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Return whether tensors are equal but for rounding.

    What is left of sums that cancel (the gradient of a bias before a normalisation) is as large as
    the rounding of the largest numbers, so that counts, too.
    """
    scales = [_largest(other) for other in theirs]
    return all(
        one.shape == other.shape
        and torch.allclose(one, other, rtol=1e-3, atol=1e-3 * scale + 1e-6 * max(scales))
        for one, other, scale in zip(mine, theirs, scales, strict=True)
    )


def _largest(tensor: Tensor) -> float:
    """Return the largest absolute value that is a finite number; 0 if there is none."""
    numbers = tensor.detach()
    return float(torch.where(torch.isfinite(numbers), numbers.abs(), 0.0).max())


def _random(module: nn.Module) -> dict[str, Tensor]:
    """Return stacked tensors with each parameter scaled by its own random factors."""
    generator = torch.Generator().manual_seed(0)
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    tensors = {}
    for name, tensor in named.items():
        stacked = tensor.detach().expand(_COUNT, *tensor.shape).clone()
        if stacked.is_floating_point():
            factors = torch.rand(stacked.shape, generator=generator) + 0.5
            stacked = (stacked * factors.to(stacked)).requires_grad_(tensor.requires_grad)
        tensors[name] = stacked
    return tensors


@torch.enable_grad()
def _run(
    stack: Stack, examples: Tensor, tensors: Sequence[Tensor], maps: WantedMaps | None
) -> list[Tensor]:
    inputs = stack.arrange(examples)
    features = stack.features(inputs)
    outputs = [stack.logits(features), stack.proxy_logits(features)]
    if maps is not None:
        features, caught = stack.features_and_maps(inputs, maps)
        outputs += [stack.logits(features), *caught.values()]
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    total: Any = sum(output.square().sum() for output in outputs)
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    return outputs + [g for g in gradients if g is not None]
