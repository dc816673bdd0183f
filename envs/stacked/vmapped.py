"""Stacking by `torch.func`: any model that vmap understands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.method import Method
from l2o.envs.stacked.stack import TENSORS, Stack


class VmappedStack(Stack):
    """`vmap(functional_call)` over stacked parameters; activations are `[N, B, ...]`."""

    name: ClassVar[str] = "vmapped"

    def __init__(
        self,
        model: Any,
        proxy_head: nn.Module,
        tensors: TENSORS,
        proxy_tensors: TENSORS,
        count: int,
    ) -> None:
        super().__init__(model, proxy_head, tensors, proxy_tensors, count)
        self._features = _mapped(Method(model, "forward_features"))
        self._head = _mapped(Method(model, "forward_head"))
        self._proxy = _mapped(proxy_head)
        self._inner = {f"model.{name}": tensor for name, tensor in tensors.items()}

    def arrange(self, examples: Tensor) -> Tensor:
        """Return `[N, B, *shape]`."""
        return examples.transpose(0, 1)

    def features(self, inputs: Tensor) -> Tensor:
        """Return `[N, B, ...]`."""
        with _ContiguousGroupNorm():
            features: Tensor = self._features(self._inner, inputs)
        return features

    def features_and_maps(
        self, inputs: Tensor, wanted: WantedMaps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return features `[N, B, ...]` and maps."""
        layers = tuple(wanted.shapes)
        run = _mapped(Method(self.model, "forward_features", layers))
        with _ContiguousGroupNorm():
            features, caught = run(self._inner, inputs)
        maps = {
            name: wanted.finish(found.transpose(0, 1))
            for name, found in zip(layers, caught, strict=True)
        }
        return features, maps

    def by_network(self, features: Tensor) -> Tensor:
        """Return `[B, N, ...]`."""
        return features.transpose(0, 1)

    def logits(self, features: Tensor) -> Tensor:
        """Return the classifiers' logits."""
        logits: Tensor = self._head(self._inner, features)
        return logits.transpose(0, 1)

    def proxy_logits(self, features: Tensor) -> Tensor:
        """Return the proxy heads' logits."""
        logits: Tensor = self._proxy(dict(self.proxy_tensors), features)
        return logits.transpose(0, 1)


class _ContiguousGroupNorm(TorchFunctionMode):
    """Group normalisation of contiguous inputs: of others, vmap cannot tell how they lie."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function."""
        if func is functional.group_norm:
            args = (args[0].contiguous(), *args[1:])
        return func(*args, **(kwargs or {}))


def _mapped(module: nn.Module) -> Any:
    def run(tensors: dict[str, Tensor], x: Tensor) -> Any:
        return functional_call(module, tensors, (x,))

    return vmap(run, randomness="different")
