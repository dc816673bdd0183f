"""The policy network of ASG: an LSTM per observed scalar, a linear layer per layer group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.networks.base import Device, PolicyNetwork
from l2o.networks.multipliers import Bins

SCALARS_FROM = 2
"""Features of an observation before the scalars: `present` and the group's current factor."""


class ASGPolicyNetwork(PolicyNetwork):
    """The published policy network, for a fixed number of layer groups.

        h_s, c_s = LSTM_s(scalar_s, (h_s, c_s))              for each scalar s, shared by all groups
        logits_g = W_g [h_1, ..., h_S, onehot(factor_g)] + b_g      for each layer group g

    Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020. The paper's 17.8 k
    parameters for 7 groups, 5 scalars and 11 factors come out (17,824) if the current factor
    enters as a one-hot vector over the factors.

    Args:
        groups: layer groups, input to head; a linear layer each.
        scalars: observed scalars; an LSTM each.
        hidden: width of each LSTM.
        bins: the factors, rising.
        memoryless: forget the recurrent state between decisions, as the published release does.
        device: where the parameters lie.

    Shapes:
        observation `[..., groups, 2 + scalars]`: `present`, the current factor, and the scalars,
        which are the same in every row. State `[..., 2, scalars, hidden]` (h and c), or None.

    Raises:
        ValueError: an observation of another number of layer groups.

    Example:
        >>> network = ASGPolicyNetwork(groups=7)
        >>> sum(parameter.numel() for parameter in network.parameters())
        17824
        >>> network(torch.ones(7, 7), network.initial_state(7))[0].shape
        torch.Size([7, 11])
    """

    kind: ClassVar[str] = "asg_2020"

    def __init__(
        self,
        groups: int,
        scalars: int = 5,
        hidden: int = 20,
        bins: Sequence[float] = Bins().values,
        memoryless: bool = False,
        device: Device = "cpu",
    ) -> None:
        super().__init__()
        if groups < 1 or scalars < 1:
            raise ValueError(
                f"an asg_2020 network needs at least one layer group and one scalar, got "
                f"groups={groups}, scalars={scalars}"
            )
        self.groups, self.scalars, self.hidden = groups, scalars, hidden
        self.bins = Bins(tuple(bins))
        self.memoryless = memoryless
        self.features, self.outputs = SCALARS_FROM + scalars, self.bins.outputs
        where: dict[str, Any] = {"device": device, "dtype": torch.float32}
        self.memories = nn.ModuleList(nn.LSTMCell(1, hidden, **where) for _ in range(scalars))
        width = scalars * hidden + self.outputs
        self.heads = nn.ModuleList(nn.Linear(width, self.outputs, **where) for _ in range(groups))
        self._initialise()

    def _initialise(self) -> None:
        for head in self.heads:
            # Near-zero logits: the untrained policy draws every factor alike.
            assert isinstance(head, nn.Linear)
            # Nothing to draw where weights have no memory yet; to be told so, torch would load its
            # compiler, two seconds of work.
            if not head.weight.is_meta:
                nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def initial_state(self, *shape: int) -> Tensor | None:
        """Return zeros `[*shape without L, 2, scalars, hidden]`; None if memoryless."""
        if self.memoryless:
            return None
        sizes = (*shape[:-1], 2, self.scalars, self.hidden)
        return torch.zeros(*sizes, dtype=torch.float32, device="cpu")

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return logits, a value of zero and the new state."""
        if observation.shape[-2] != self.groups:
            raise ValueError(refusal(self.groups, observation.shape[-2]))
        leading = observation.shape[:-2]
        flat = observation.reshape(-1, self.groups, self.features)
        new = self._remember(flat[:, 0, SCALARS_FROM:], state)
        context = new[:, 0].flatten(1)
        factors = functional.one_hot(self.bins.encode(flat[..., 1]), self.outputs).to(context)
        logits = [
            head(torch.cat([context, factors[:, group]], dim=1))
            for group, head in enumerate(self.heads)
        ]
        outputs = torch.stack(logits, dim=1).view(*leading, self.groups, self.outputs)
        kept = None if self.memoryless else new.view(*leading, 2, self.scalars, self.hidden)
        return outputs, outputs.new_zeros(leading), kept

    def _remember(self, scalars: Tensor, state: Tensor | None) -> Tensor:
        """Return the new states `[N, 2, scalars, hidden]` of scalars `[N, scalars]`."""
        if state is None or self.memoryless:
            state = scalars.new_zeros(len(scalars), 2, self.scalars, self.hidden)
        old = state.reshape(-1, 2, self.scalars, self.hidden)
        pairs = [
            torch.stack(memory(scalars[:, s : s + 1], (old[:, 0, s], old[:, 1, s])), dim=1)
            for s, memory in enumerate(self.memories)
        ]
        return torch.stack(pairs, dim=2)

    def architecture(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data, and `kind`."""
        return {
            "kind": self.kind,
            "groups": self.groups,
            "scalars": self.scalars,
            "hidden": self.hidden,
            "bins": list(self.bins.values),
            "memoryless": self.memoryless,
        }


def refusal(groups: int, given: int) -> str:
    """Return why a policy for so many layer groups cannot drive another number of them."""
    merge = f", or merge them: groups=l2o.group_layers(model, max_groups={groups})"
    return (
        f"this asg_2020 policy has a head for each of {groups} layer groups, the model has "
        f"{given}; group the model into {groups} (by=...){merge if given > groups else ''}; or "
        "learn one for this model, or use a layer-shared policy such as asg-base"
    )
