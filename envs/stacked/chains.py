"""Convolutions that follow one another, found in a model's code and joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from l2o.envs.stacked.kernels import Geometry, convolve
from l2o.envs.stacked.method import Method

_RECTIFIERS: tuple[Callable[..., Any], ...] = (functional.relu, torch.relu)


class ChainedConv2d(nn.Module):
    """N convolutions, one after the other: `[B, N·C, H, W]` -> `[B, N·O, H', W']`.

    The weight is `[N, O, C, h, w]`, the bias `[N, O]`.
    """

    def __init__(self, one: nn.Conv2d, count: int) -> None:
        super().__init__()
        self.geometry = Geometry(_pair(one.stride), _pair(one.padding), _pair(one.dilation))
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        assert self.weight is not None
        return convolve(x, [self.weight], [self.bias], [self.geometry])


def _pair(value: Any) -> tuple[int, int]:
    rows, columns = value
    return int(rows), int(columns)


class Chain(nn.Module):
    """Convolutions one after the other, some with a rectifier behind them.

    Args:
        layers: the convolutions.
        rectify: whether each is followed by a rectifier.
    """

    def __init__(self, layers: list[ChainedConv2d], rectify: list[bool]) -> None:
        super().__init__()
        pairs = zip(layers, rectify, strict=True)
        self.geometries = [
            Geometry(g.stride, g.padding, g.dilation, rectified)
            for g, rectified in ((layer.geometry, rectified) for layer, rectified in pairs)
        ]
        self.weights = [layer.weight for layer in layers]
        self.biases = [layer.bias for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return convolve(x, self.weights, self.biases, self.geometries)  # type: ignore[arg-type]


class _Tracer(fx.Tracer):
    """Traces a method of a model; layers are leaves, whether torch's or stacked ones.

    Attributes:
        outputs: module -> its last output.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, Any] = {}

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return not any(module.children())

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        self.outputs[self.path_of_module(m)] = output
        return output


def chain_convolutions(
    model: nn.Module, method: str, layers: Sequence[str] = (), rectified: bool = False
) -> fx.GraphModule:
    """Return a method of a model as a module in which convolutions are joined into chains.

    A convolution is joined with a rectifier, or with another convolution, that is the only one to
    read its result.

    Args:
        model: its convolutions are `ChainedConv2d`.
        method: takes one tensor.
        layers: names of layers whose outputs are returned, too, by name; none changes nothing.
        rectified: whether these outputs are returned rectified.
    """
    root = Method(model, method)
    tracer = _Tracer()
    graph = tracer.trace(root)
    modules = dict(root.named_modules())
    if layers:
        found = {name: tracer.outputs[f"model.{name}"].node for name in layers}
        if rectified:
            found = {name: _rectified(node, graph, modules) for name, node in found.items()}
        last = next(node for node in graph.nodes if node.op == "output")
        last.args = ((last.args[0], found),)
    convolutions = [node for node in graph.nodes if _convolution(node, modules) is not None]
    for first in [node for node in convolutions if not _continues(node, modules)]:
        _join(first, graph, root, modules)
    return fx.GraphModule(root, graph)


def _rectified(node: fx.Node, graph: fx.Graph, modules: dict[str, nn.Module]) -> fx.Node:
    """Return a rectifier of a node: the one that is its only reader, or a new one."""
    readers = list(node.users)
    if len(readers) == 1 and _rectifies(readers[0], modules):
        return readers[0]
    with graph.inserting_after(node):
        return graph.call_function(torch.relu, (node,))


def _join(first: fx.Node, graph: fx.Graph, root: nn.Module, modules: dict[str, nn.Module]) -> None:
    """Replace the chain that begins at a convolution by one node."""
    layers: list[ChainedConv2d] = []
    rectify: list[bool] = []
    last, node = first, first
    while True:
        layer = _convolution(node, modules)
        if layer is not None:
            layers.append(layer)
            rectify.append(False)
        elif _rectifies(node, modules) and not rectify[-1]:
            rectify[-1] = True
        else:
            break
        last = node
        if len(node.users) != 1:
            break
        node = next(iter(node.users))
    name = f"chain_{first.name}"
    root.add_module(name, Chain(layers, rectify))
    with graph.inserting_after(last):
        joined = graph.call_module(name, (first.args[0],))
    last.replace_all_uses_with(joined)
    while last is not first:
        before = last.args[0]
        graph.erase_node(last)
        assert isinstance(before, fx.Node)
        last = before
    graph.erase_node(first)


def _continues(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return whether a convolution reads another's result, rectified or not, as the only one."""
    before = node.args[0]
    if isinstance(before, fx.Node) and len(before.users) == 1 and _rectifies(before, modules):
        before = before.args[0]
    return (
        isinstance(before, fx.Node)
        and len(before.users) == 1
        and _convolution(before, modules) is not None
    )


def _convolution(node: fx.Node, modules: dict[str, nn.Module]) -> ChainedConv2d | None:
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, ChainedConv2d) else None


def _rectifies(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules.get(str(node.target))) is nn.ReLU
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in _RECTIFIERS
