"""A policy that looks at a run while it begins gently, and then says how far steps may go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from l2o.networks.base import Device, PolicyNetwork
from l2o.networks.forest import Forest
from l2o.networks.multipliers import LogRange
from l2o.networks.relative_update import SEEN, cosine, relative_multipliers
from l2o.networks.run_summary import NEEDED, STATISTICS, RunSummary

FIRST_LR, CHANGE = 1e-4, 10.0
"""The learning rate before anything was measured, and the largest factor between two decisions."""
_COUNT, _CHOSEN, _MEMORY = 0, slice(1, 3), slice(3, None)


class ProbingNetwork(PolicyNetwork):
    """Sizes of steps, chosen once after a probe by what a forest expects of each point.

        multiplier_l ← multiplier_l · size_l · ½ (1 + cos πt) · ‖θ_l‖ / ‖Δθ_l‖
        size = probe while t < share, then points[argmax_p forest(s)_p]

    with the summary s of the run: as it is when the probe ends, as it was at first, and in the mean
    between them (`l2o.networks.run_summary`). Where a training's length is not known, the point
    `fallback` is taken after `patience` decisions.

    Args:
        signals: names of an observation's features, in order.
        points: sizes (backbone, head) relative to the weights, to choose from.
        probe: those that a run begins with.
        share: of the training that the probe takes, in (0, 1).
        fallback: number of the point where the length is not known.
        trees: how many.
        nodes: of the largest tree.
        depth: of the deepest tree.
        low: smallest multiplier of the policy's `LogRange`.
        high: its largest.
        patience: decisions of a probe in a training of unknown length.
        about: the signals that are summed up, and
        statistics: what is told of those of layers, as `RunSummary` has them.
        device: where its tensors lie.

    Shapes:
        observation `[..., L, F]`; state `[..., 3 + 2 K]`: decisions so far, the logarithms of the
        sizes chosen, the first summary and the sum of all, K numbers each; outputs `[..., L, 1]`.

    Raises:
        ValueError: a signal that it needs is not among those given, a share out of range, or what
            `RunSummary` refuses.
    """

    kind: ClassVar[str] = "probing"
    # It corrects the size of steps at each decision: the rarer these are at first, the farther the
    # first steps go astray, and a summary of other moments is none that the forest knows.
    keeps_interval: ClassVar[bool] = True

    def __init__(
        self,
        signals: Sequence[str],
        points: Sequence[Sequence[float]],
        probe: Sequence[float],
        share: float,
        fallback: int,
        trees: int,
        nodes: int,
        depth: int,
        low: float,
        high: float,
        patience: int = 20,
        about: Sequence[str] | None = None,
        statistics: Sequence[str] = STATISTICS,
        device: Device = "cpu",
    ) -> None:
        super().__init__()
        missing = [name for name in dict.fromkeys((*SEEN, *NEEDED)) if name not in signals]
        if missing:
            raise ValueError(
                f"a probing network needs the signals {', '.join(missing)}; add them to "
                "environment.signals"
            )
        if not 0.0 < share < 1.0:
            raise ValueError(f"share must be between 0 and 1, both excluded, got {share!r}")
        self.signals, self.features, self.outputs = tuple(signals), len(signals), 1
        self.points = tuple((float(backbone), float(head)) for backbone, head in points)
        self.probe = (float(probe[0]), float(probe[1]))
        self.share, self.fallback, self.patience = share, fallback, patience
        self.nodes = nodes
        self.about, self.statistics = about, tuple(statistics)
        self.summary = RunSummary(self.signals, about, statistics)
        self.range = LogRange(low, high)
        self._memory = 3 + 2 * len(self.summary.names)
        self.forest = Forest(trees, nodes, depth, len(self.points), device)

    def initial_state(self, *shape: int) -> Tensor | None:
        """Return zeros `[*shape without L, 3 + 2 K]`."""
        return torch.zeros(*shape[:-1], self._memory, dtype=torch.float32, device="cpu")

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return outputs, a value of zero and the new state."""
        seen = dict(zip(self.signals, observation.unbind(dim=-1), strict=True))
        if state is None:
            state = observation.new_zeros(*observation.shape[:-2], self._memory)
        state = self._decide(seen, self._remember(seen, state))
        decided = (state[..., 1] != 0).unsqueeze(-1)
        probe = observation.new_tensor(self.probe)
        sizes = torch.where(decided, 10.0 ** state[..., _CHOSEN], probe)
        sizes = torch.where(seen["is_head"] > 0, sizes[..., 1:], sizes[..., :1])
        wanted = sizes * cosine(seen["progress"])
        multipliers = relative_multipliers(seen, wanted, FIRST_LR, CHANGE)
        outputs = self.range.encode(multipliers).unsqueeze(-1)
        return outputs, outputs.new_zeros(outputs.shape[:-2]), state

    def _remember(self, seen: dict[str, Tensor], state: Tensor) -> Tensor:
        """Return the state with one decision more in what it remembers."""
        now = self.summary(seen)
        count = state[..., :1]
        first, total = state[..., _MEMORY].chunk(2, dim=-1)
        # At the very first decision nothing was measured yet.
        first = torch.where(count == 1, now, first)
        total = torch.where(count >= 1, total + now, total)
        return torch.cat([count + 1, state[..., _CHOSEN], first, total], dim=-1)

    def _decide(self, seen: dict[str, Tensor], state: Tensor) -> Tensor:
        """Return the state with the point that is chosen where a probe has just ended."""
        known = seen["has_progress"][..., 0] > 0
        over = torch.where(
            known,
            seen["progress"][..., 0] >= self.share,
            state[..., _COUNT] > self.patience,
        )
        due = over & (state[..., 1] == 0)
        if not due.any():
            return state
        # Asked for all, since asking costs little and runs of a stack end their probes together.
        features = self.describe(seen, state).reshape(-1, 3 * len(self.summary.names))
        best = self.forest(features).argmax(dim=-1).view(due.shape)
        best = torch.where(known, best, torch.full_like(best, self.fallback))
        logs = state.new_tensor(self.points).log10()[best]
        chosen = torch.where(due.unsqueeze(-1), logs, state[..., _CHOSEN])
        return torch.cat([state[..., :1], chosen, state[..., _MEMORY]], dim=-1)

    def describe(self, seen: dict[str, Tensor], state: Tensor) -> Tensor:
        """Return the features of the forest `[..., 3 K]`: now, at first, in the mean."""
        first, total = state[..., _MEMORY].chunk(2, dim=-1)
        mean = total / (state[..., :1] - 1.0).clamp(min=1.0)
        return torch.cat([self.summary(seen), first, mean], dim=-1)

    def architecture(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data, and `kind`."""
        return {
            "kind": self.kind,
            "signals": list(self.signals),
            "points": [list(point) for point in self.points],
            "probe": list(self.probe),
            "share": self.share,
            "fallback": self.fallback,
            "trees": len(self.forest.feature),
            "nodes": self.nodes,
            "depth": self.forest.depth,
            "low": self.range.low,
            "high": self.range.high,
            "patience": self.patience,
            "about": None if self.about is None else list(self.about),
            "statistics": list(self.statistics),
        }
