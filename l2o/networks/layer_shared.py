"""The layer-shared policy network: one network drives a model of any depth."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.networks.anchor import Anchor
from l2o.networks.base import Device, PolicyNetwork
from l2o.networks.pooling import POOLINGS
from l2o.registry import unknown_name


class LayerPolicyNetwork(PolicyNetwork):
    """Per-layer encoder, pooled context, per-layer head; the same weights for every layer.

        e_l = encode(o_l)                      per layer
        c   = mix(pool_l e_l)                  over the layers that are present
        s_l = GRU([e_l, c], s_l)               only if recurrent
        outputs_l = head([e_l, c])  or  head(s_l), + anchor(o_l);   value = value(c)

    Args:
        features: F, signals per layer; feature 0 must be `present`.
        outputs: numbers per layer (1 for a log range, one logit per bin).
        hidden: width.
        recurrent: whether each layer carries a GRU state.
        anchored: whether a linear function of the signals is added to the outputs, one for layers
            that have been seen training and one for those that have not: see `l2o.networks.anchor`.
        pooling: what makes the context of all layers' encodings, a key of `POOLINGS`; "none"
            hides it from the heads, and the value has the mean.
        device: where the parameters lie.

    Raises:
        ValueError: an unknown pooling.

    Shapes:
        observation `[..., L, F]`; state `[..., L, 2 * hidden]` or None; returns outputs
        `[..., L, outputs]`, value `[...]`, new state.

    Example:
        >>> network = LayerPolicyNetwork(features=5, outputs=1)
        >>> outputs, value, _ = network(torch.ones(7, 3, 5))
        >>> outputs.shape, value.shape
        (torch.Size([7, 3, 1]), torch.Size([7]))
    """

    kind: ClassVar[str] = "layer_shared"

    def __init__(
        self,
        features: int,
        outputs: int,
        hidden: int = 64,
        recurrent: bool = False,
        anchored: bool = False,
        pooling: str = "mean",
        device: Device = "cpu",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(unknown_name("pooling", str(pooling), POOLINGS))
        self.features, self.outputs = features, outputs
        self.hidden, self.recurrent = hidden, recurrent
        linear = partial(nn.Linear, device=device, dtype=torch.float32)
        self.encode = nn.Sequential(
            linear(features, hidden), nn.Tanh(), linear(hidden, hidden), nn.Tanh()
        )
        self.pooling, self.pool = pooling, POOLINGS[pooling](hidden, device)
        self.mix = nn.Sequential(linear(hidden, hidden), nn.Tanh())
        width = 2 * hidden
        self.memory = (
            nn.GRUCell(width, width, device=device, dtype=torch.float32) if recurrent else None
        )
        self.head = nn.Sequential(linear(width, hidden), nn.Tanh(), linear(hidden, outputs))
        self.value = nn.Sequential(linear(hidden, hidden), nn.Tanh(), linear(hidden, 1))
        self.anchor = Anchor(features, outputs, device) if anchored else None
        self._initialise()

    def _initialise(self) -> None:
        parts = [self.encode, self.mix, self.head, self.value]
        for module in (layer for part in parts for layer in part):
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=1.4)
                nn.init.zeros_(module.bias)
        # Near-zero outputs: the untrained policy gives every layer the middle of the range.
        final = self.head[-1]
        assert isinstance(final, nn.Linear)
        nn.init.orthogonal_(final.weight, gain=0.01)

    def initial_state(self, *shape: int) -> Tensor | None:
        """Return zeros `[*shape, 2 * hidden]` if recurrent (shape ends in L), else None."""
        if not self.recurrent:
            return None
        return torch.zeros(*shape, 2 * self.hidden, dtype=torch.float32, device="cpu")

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return outputs, value and the new state."""
        present = observation[..., :1]
        encoded = self.encode(observation)
        context = self.mix(self.pool(encoded, present))
        shown = context if self.pool.shown else torch.zeros_like(context)
        joined = torch.cat([encoded, shown.unsqueeze(-2).expand_as(encoded)], dim=-1)
        if self.memory is not None:
            assert state is not None, "a recurrent network needs its state"
            flat = self.memory(joined.flatten(0, -2), state.flatten(0, -2))
            joined = state = flat.view_as(state)
        outputs = self.head(joined)
        if self.anchor is not None:
            outputs = outputs + self.anchor(observation)
        return outputs, self.value(context).squeeze(-1), state

    def architecture(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data; no `kind`: this is what cards mean."""
        known: dict[str, Any] = {
            "features": self.features,
            "outputs": self.outputs,
            "hidden": self.hidden,
            "recurrent": self.recurrent,
        }
        # Left out where they are as always, so that older versions load what they can run.
        if self.anchor is not None:
            known["anchored"] = True
        if self.pooling != "mean":
            known["pooling"] = self.pooling
        return known
