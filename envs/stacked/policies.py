"""A policy for each of N stacked fine-tunes; those that are alike decide in one call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy, State
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.signals.spec import SignalSpec


class SlotPolicies:
    """Decides for N runs, each under its own policy with its own state.

    Runs under one learned policy are one call of its network, runs under equal schedules one
    evaluation of them; every other policy is called run by run, with what a controller would show
    it. A policy that fails takes down its own run only.

    Args:
        signals: the spec that observations are made with; it must have every policy's signals.
        layers: rows of the observations.

    Example:
        >>> policies = SlotPolicies(SchedulePolicy.signals, layers=2)
        >>> policies.begin(0, SchedulePolicy("constant", "small_backbone"), layers=2)
        >>> #              present is_head depth progress has_progress
        >>> seen = torch.tensor([[[1.0, 0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0, 1.0]]])
        >>> policies.decide(seen, [0])
        {0: tensor([0.1000, 1.0000])}
    """

    def __init__(self, signals: SignalSpec, layers: int) -> None:
        self.signals = signals
        self.layers = layers
        self._slots: dict[int, _Slot] = {}

    def begin(self, run: int, policy: Policy, layers: int) -> None:
        """Put a run under a policy.

        Args:
            run: its number; what it was under before is forgotten.
            policy: decides for it.
            layers: layer groups of its network, and guidance terms whose weights it scales.
        """
        columns = [self.signals.index(name) for name in policy.signals.names]
        # These take padding, so that runs of different depth are one batch.
        rows = self.layers if type(policy) in _TOGETHER else layers
        self._slots[run] = _Slot(policy, layers, rows, columns, policy.initial_state(rows))

    @torch.no_grad()
    def decide(self, observations: Tensor, runs: Iterable[int]) -> dict[int, Tensor | Exception]:
        """Return the multipliers of runs, float32 `[layers of its network]`, or what failed.

        Args:
            observations: `[N, layers, F]` on the host.
            runs: those that decide.
        """
        alike: dict[Hashable, list[int]] = {}
        for run in runs:
            alike.setdefault(_kind(self._slots[run].policy, run), []).append(run)
        decided: dict[int, Tensor | Exception] = {}
        for members in alike.values():
            decided |= self._decide_alike(observations, members)
        return decided

    def _decide_alike(
        self, observations: Tensor, runs: Sequence[int]
    ) -> Mapping[int, Tensor | Exception]:
        slots = [self._slots[run] for run in runs]
        together = _TOGETHER.get(type(slots[0].policy))
        if together is not None:
            try:
                chosen, states = together(slots, observations[list(runs)][..., slots[0].columns])
                return self._accept(runs, chosen, states)
            except Exception:  # which of them fails, and why, shows below
                pass
        decided: dict[int, Tensor | Exception] = {}
        for run, slot in zip(runs, slots, strict=True):
            try:
                seen = observations[run, : slot.rows][:, slot.columns]
                chosen_one, state = slot.policy(seen, slot.state)
                decided |= self._accept([run], [torch.as_tensor(chosen_one)], [state])
            except Exception as error:
                decided[run] = error
        return decided

    def _accept(
        self, runs: Sequence[int], chosen: Iterable[Tensor], states: Iterable[State]
    ) -> dict[int, Tensor]:
        """Check multipliers; if all are good, keep the states that go with them."""
        slots = [self._slots[run] for run in runs]
        good = [slot.check(multipliers) for slot, multipliers in zip(slots, chosen, strict=True)]
        for slot, state in zip(slots, states, strict=True):
            slot.state = state
        return dict(zip(runs, good, strict=True))


@dataclass
class _Slot:
    policy: Policy
    layers: int
    rows: int
    columns: list[int]
    state: State

    def check(self, multipliers: Tensor) -> Tensor:
        """Return multipliers as a controller takes them, without those of padding."""
        chosen = multipliers.detach().to("cpu", torch.float32)
        if chosen.shape != (self.rows,):
            raise ValueError(
                f"{self.rows} layer groups need as many multipliers, got shape "
                f"{tuple(chosen.shape)}"
            )
        chosen = chosen[: self.layers]
        if not (torch.isfinite(chosen) & (chosen >= 0)).all():
            raise ValueError(f"multipliers must be finite and not negative, got {chosen.tolist()}")
        return chosen


def _kind(policy: Policy, run: int) -> Hashable:
    """Return equal keys for policies that can decide together."""
    if type(policy) is LearnedPolicy:
        return id(policy)
    if type(policy) is SchedulePolicy:
        try:
            key = policy.schedule, policy.profile
            hash(key)
            return key
        except TypeError:  # a schedule of somebody's own need not be hashable
            return run
    return run


def _learned(slots: Sequence[_Slot], observations: Tensor) -> tuple[Tensor, list[State]]:
    policy = slots[0].policy
    keys = list(slots[0].state)
    state = {key: torch.stack([slot.state[key] for slot in slots]) for key in keys}
    multipliers, state = policy(observations, state)
    return multipliers, [{key: state[key][index] for key in keys} for index in range(len(slots))]


def _scheduled(slots: Sequence[_Slot], observations: Tensor) -> tuple[Tensor, list[State]]:
    policy = slots[0].policy
    assert isinstance(policy, SchedulePolicy)
    present, is_head, depth, progress, _ = observations.unbind(dim=-1)
    now = progress[:, 0]  # the first row is always a layer
    factors = policy.profile(now, depth, is_head, present)
    return policy.schedule(now).unsqueeze(-1) * factors, [slot.state for slot in slots]


_Together = Callable[[Sequence[_Slot], Tensor], tuple[Tensor, list[State]]]
_TOGETHER: dict[type[Policy], _Together] = {LearnedPolicy: _learned, SchedulePolicy: _scheduled}
