"""The policy network for deployment: the same arithmetic in NumPy, without what training needs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from l2o.networks.base import PolicyNetwork
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.pooling import AttentionPooling

Array = NDArray[np.float32]
MOST_LAYERS = 64
"""Beyond, libraries share a matrix product among threads, which wait for busy cores."""
WORTH_COPYING = 4
"""Runs for which a weight is laid out anew before it is multiplied with each of them."""


class FrozenNetwork:
    """Computes a `LayerPolicyNetwork`'s outputs for one run, several times as fast for few layers.

    On matrices as small as these the time goes into calling, and NumPy is called sooner. Weights
    are shared with the network, so changes of it count here, too.

    Args:
        network: what to compute; of another kind, it computes nothing.

    Example:
        >>> network = LayerPolicyNetwork(features=5, outputs=1)
        >>> frozen, observation = FrozenNetwork(network), torch.ones(3, 5)
        >>> torch.allclose(frozen(observation), network(observation)[0])
        True
    """

    def __init__(self, network: PolicyNetwork) -> None:
        self._possible = type(network) is LayerPolicyNetwork and not network.recurrent
        self._pooling = "mean"
        self._parameters: list[tuple[dict[str, Tensor], str]] = []
        if isinstance(network, LayerPolicyNetwork) and self._possible:
            self._pooling = network.pooling
            self._parameters = list(_parameters(network))
        self._addresses: list[int] = []
        self._weights: list[Array] = []

    def takes(self, observation: Tensor, dimensions: int = 2) -> bool:
        """Return whether it computes this observation; if not, the network must.

        Args:
            observation: of one run `[L, F]`, or of several `[N, L, F]`.
            dimensions: 2, or 3.
        """
        return (
            self._possible
            and observation.dim() == dimensions
            and observation.shape[-2] <= MOST_LAYERS
            and observation.is_cpu
            and observation.dtype == torch.float32
            and self._share_weights()
        )

    def __call__(self, observation: Tensor) -> Tensor:
        """Return the outputs `[L, outputs]` of an observation `[L, F]` on the CPU."""
        return torch.from_numpy(self.on_host(observation.numpy()))

    def on_host(self, seen: Array) -> Array:
        """Return the outputs `[L, outputs]` of an observation `[L, F]` that `takes` accepted."""
        w1, b1, w2, b2, w_mix, b_mix, w3, b3, w4, b4, *others = self._weights
        encoded = _tanh(seen @ w1.T, b1)
        encoded = _tanh(encoded @ w2.T, b2)
        # The head's first layer takes the joined [encoded, context]; the context's share is the
        # same for all layers.
        width, shared = encoded.shape[1], b3
        if self._pooling != "none":
            query = others.pop() if self._pooling == "attention" else None
            context = _tanh(w_mix @ _pool(encoded, seen[:, 0], query), b_mix)
            shared = w3[:, width:] @ context + b3
        hidden = _tanh(encoded @ w3[:, :width].T, shared)
        outputs: Array = hidden @ w4.T
        outputs += b4
        if others:
            w_seen, b_seen, w_blind, b_blind, column = others
            known = seen[:, int(column)][:, None]
            blind = seen @ w_blind.T + b_blind
            outputs += blind + known * (seen @ w_seen.T + b_seen - blind)
        return outputs

    def many(self, seen: Array) -> Array:
        """Return the outputs `[N, L, outputs]` of N runs' observations `[N, L, F]` at once.

        Matrix products are N of the size that one run has, not a larger one, so that no run's
        numbers depend on which others there are.
        """
        w1, b1, w2, b2, w_mix, b_mix, w3, b3, w4, b4, *others = self._weights
        encoded = _tanh(_products(seen, w1), b1)
        encoded = _tanh(_products(encoded, w2), b2)
        width, shared = encoded.shape[2], b3
        if self._pooling != "none":
            query = others.pop() if self._pooling == "attention" else None
            pooled = _pool_many(encoded, seen[:, :, 0], query)
            context = _tanh(np.matmul(w_mix, pooled[..., None])[..., 0], b_mix)
            shared = np.matmul(w3[:, width:], context[..., None]).transpose(0, 2, 1) + b3
        hidden = _tanh(_products(encoded, w3[:, :width]), shared)
        outputs: Array = np.matmul(hidden, w4.T)
        outputs += b4
        if others:
            w_seen, b_seen, w_blind, b_blind, column = others
            known = seen[:, :, int(column)][..., None]
            blind = np.matmul(seen, w_blind.T) + b_blind
            outputs += blind + known * (np.matmul(seen, w_seen.T) + b_seen - blind)
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        # What is shared here would be a copy of its own elsewhere.
        return {**vars(self), "_addresses": [], "_weights": []}

    def _share_weights(self) -> bool:
        """See to it that the weights are those that the network has now."""
        tensors = [held[name] for held, name in self._parameters]
        addresses = [tensor.data_ptr() for tensor in tensors]
        if addresses != self._addresses:
            if any(not t.is_cpu or t.dtype not in (torch.float32, torch.int64) for t in tensors):
                return False
            self._addresses = addresses
            self._weights = [tensor.detach().numpy() for tensor in tensors]
        return True


def _parameters(network: LayerPolicyNetwork) -> Iterator[tuple[dict[str, Tensor], str]]:
    """Yield where each parameter is looked up, as the layer itself does, and its name there."""
    linear = [m for part in (network.encode, network.mix, network.head) for m in part]
    if network.anchor is not None:
        linear += [network.anchor.seen, network.anchor.blind]
    for module in linear:
        if isinstance(module, nn.Linear):
            for name in ("weight", "bias"):
                yield module._parameters, name  # type: ignore[misc]
    if network.anchor is not None:
        yield network.anchor._buffers, "column"  # type: ignore[misc]
    if isinstance(network.pool, AttentionPooling):
        yield network.pool._parameters, "query"  # type: ignore[misc]


def _pool(encoded: Array, present: Array, query: Array | None) -> Array:
    """Return the mean of the layers that are present or, with a query, their attention."""
    if query is None:
        mean: Array = present @ encoded
        mean /= max(float(present.sum()), 1.0)
        return mean
    there = present > 0
    if not there.any():
        return np.zeros_like(query)
    scores = encoded @ query
    scores -= scores[there].max()
    weights = np.exp(scores, where=there, out=np.zeros_like(scores))
    attended: Array = weights @ encoded
    attended /= float(weights.sum())
    return attended


def _pool_many(encoded: Array, present: Array, query: Array | None) -> Array:
    """Do the same for N runs: `[N, hidden]` of encodings `[N, L, hidden]`."""
    if query is not None:
        return np.stack([_pool(*run, query) for run in zip(encoded, present, strict=True)])
    mean: Array = np.matmul(present[:, None, :], encoded)[:, 0]
    mean /= np.maximum(present.sum(axis=1, keepdims=True), 1.0)
    return mean


def _products(seen: Array, weight: Array) -> Array:
    """Return the products `[N, L, M]` of N runs' rows `[N, L, K]` with a weight `[M, K]`."""
    laid_out = weight.T
    if len(seen) >= WORTH_COPYING and _same_copied(seen.shape[1], *weight.shape):
        laid_out = np.ascontiguousarray(laid_out)
    return np.matmul(seen, laid_out)


@cache
def _same_copied(layers: int, rows: int, columns: int) -> bool:
    """Tell whether a product has the same bits if the weight is copied, column by column.

    With the copy it takes a third of the time, but for some shapes libraries then sum in another
    order. In which order they sum is a matter of the shape, not of the numbers: it shows on any.
    """
    draw = np.random.default_rng(0)
    seen = draw.standard_normal((layers, columns), dtype=np.float32)
    weight = draw.standard_normal((rows, columns), dtype=np.float32)
    return np.array_equal(seen @ weight.T, seen @ np.ascontiguousarray(weight.T))


def _tanh(values: Array, bias: Array) -> Array:
    values += bias
    return np.tanh(values, out=values)
