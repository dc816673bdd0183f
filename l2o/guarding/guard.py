"""The guard: what the controller does when training or the policy goes wrong."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.deciding.policy import Policy, State
from l2o.guarding.asking import Asking
from l2o.guarding.ceiling import Ceiling
from l2o.guarding.health import Health
from l2o.guarding.last_good import LastGood
from l2o.guarding.overshoot import Overshoot
from l2o.guarding.stall import Stall
from l2o.layers.groups import LayerGroup
from l2o.signals import Measurement, Quantity
from l2o.signals.table import ROW, rows_on_host
from l2o.tensors import on_host

ROLLED_BACK = "rolled back to the last good weights"
_LOWEST_SCALE = 1e-6
COPIES = 20
"""How often a light copy of good weights is renewed in a training, at most."""
LEAST_AGE = 20
"""Steps that a light copy is kept at least: it costs about as much as a twentieth of a step."""
UNKNOWN_LENGTH = 1000
"""Steps of a training whose length is not known, as far as copies go."""
CEILING_NEEDS: frozenset[Quantity] = frozenset({"gradient", "update"})


class Guard(Asking):
    """Keeps a training run going when the loss blows up or the policy fails, and keeps count.

    *A policy that may exceed the user's own rates* (`Policy.cautious`) does so only as far as the
    loss has to give, and only in layers that were measured (`l2o.guarding.ceiling`).

    *A learned policy* (`Policy.learned`) learned on other runs than this one. Where the loss does
    not fall under it, multipliers come back to 1, the user's own rates (`l2o.guarding.stall`).
    Where it fell and rose again, good weights are put back, and from there on multipliers are a
    tenth (`backoff`) of what the policy says (`l2o.guarding.overshoot`).

    *A bad window*, with a loss, gradient or weights that are not finite or explode, scales all
    multipliers by `backoff`; each good one after it undoes a fifth of that, on a log scale. Where
    there is a copy of good weights, they are put back. Under a learned policy a loss of `harm`
    times the run's own counts, too, and after `patience` bad windows the user's own schedule has
    the run, with multipliers of 1: by then the policy is not what helps it.

    *A failed decision*, where a signal or the policy raises or answers nonsense, is taken by the
    `fallback`, as are all later ones; without a fallback the last good multipliers stay, and the
    policy is asked again at the next decision. A policy at work cannot be interrupted: a late
    answer is used, and after `max_late` late ones in a row the policy is not asked any more.

    Args:
        explosion: how many times the losses so far count as exploding, and how many times
            the norm of all weights a window earlier; `math.inf` for losses that cross zero.
        backoff: factor on all multipliers per bad window, in (0, 1).
        roll_back: whether to go back to the weights (and buffers, where the controller knows the
            model) of the last good window, and forget the optimizer's state. None: under learned
            policies, to a copy on the host in two bytes a weight, that is renewed twenty times a
            training at most. True: to an exact one, beside the weights, renewed at each good
            window. False: never.
        fallback: a schedule's name ("cosine"), or any policy; None keeps the last multipliers.
        time_limit: seconds after which the policy's answer is late; None: whenever it comes.
        max_late: late answers in a row until the policy is dropped.
        gradient_explosion: how many times the largest gradient of good windows is exploding.
        harm: how many times the losses so far a learned policy may make the loss.
        patience: bad windows until a learned policy is not asked any more.

    Raises:
        ValueError: a value out of range, or an unknown schedule.

    Example:
        >>> Guard(fallback="cosine", roll_back=True).scale
        1.0
    """

    def __init__(
        self,
        explosion: float = 10.0,
        backoff: float = 0.1,
        roll_back: bool | None = None,
        fallback: str | Policy | None = None,
        time_limit: float | None = None,
        max_late: int = 3,
        gradient_explosion: float = 1000.0,
        harm: float = 2.0,
        patience: int = 3,
    ) -> None:
        limits = {"explosion": explosion, "gradient_explosion": gradient_explosion, "harm": harm}
        for name, value in limits.items():
            if not value > 1:
                raise ValueError(f"{name} must be above 1, got {value}")
        if not 0 < backoff < 1:
            raise ValueError(f"backoff must lie between 0 and 1, got {backoff}")
        check_number("patience", patience, 1.0)
        super().__init__(fallback, time_limit, max_late)
        self.backoff = backoff
        self.roll_back = roll_back
        self.patience = patience
        self.handed_over = False
        self._harm = harm
        self._health = Health(explosion, gradient_explosion)
        self._last_good = LastGood(light=roll_back is None)
        self._kept_at = 0
        self._keep_every = 1
        self._bad = 0
        self._bold: bool | None = None
        self._cautious = self._watched = False
        self._ceiling, self._stall, self._overshoot = Ceiling(), Stall(), Overshoot()

    # Before the first step ----------------------------------------------------------------------

    @property
    def needs(self) -> frozenset[Quantity]:
        """The costly quantities that the fallback's signals and the guard's own ceiling read."""
        own = CEILING_NEEDS if self._cautious else frozenset()
        return own if self.fallback is None else own | self.fallback.signals.needs

    def begin(
        self,
        groups: Sequence[LayerGroup],
        total_steps: int | None,
        tensors: Sequence[Tensor],
        policy: Policy | None = None,
    ) -> None:
        """Begin a run.

        Args:
            groups: its layer groups.
            total_steps: its length, if known.
            tensors: parameters and buffers, to roll back.
            policy: the run's own, if it has one.

        Raises:
            ValueError: the fallback cannot drive the run.
        """
        if self.fallback is not None:
            self.fallback = self.fallback.of_length(total_steps)
            self.fallback.check(groups, total_steps)
        self._cautious = policy is not None and policy.cautious
        self._watched = policy is not None and (policy.cautious or policy.learned)
        if self._watched:
            self._health.harm = self._harm
        if self.roll_back is None:
            self._keep_every = max(LEAST_AGE, (total_steps or UNKNOWN_LENGTH) // COPIES)
        if self._keeps:
            self._last_good.keep(tensors)

    @property
    def looks(self) -> bool:
        """Whether it looks within the first window, too, after 1, 2, 4, ... steps."""
        return self._cautious and not (self.dropped or self.handed_over)

    @property
    def asks_early(self) -> bool:
        """Whether it has the policy decide anew then, instead of letting its answer through.

        A first answer that exceeds the user's rates somewhere is meant, and only waits for steps
        that were measured. One that stays below them everywhere is a guess that wastes steps.
        """
        return self.looks and self._bold is False

    @property
    def nbytes(self) -> int:
        """Memory that the copy of good weights takes."""
        return self._last_good.nbytes

    @property
    def _keeps(self) -> bool:
        return self._watched if self.roll_back is None else self.roll_back

    # Around a decision --------------------------------------------------------------------------

    def check(
        self,
        measured: Measurement,
        tensors: Sequence[Tensor],
        optimizer: Optimizer,
        step: int = 0,
        closes: bool = True,
    ) -> str | None:
        """Return what is wrong with the window, or None; adapt `scale`, keep or restore weights.

        Args:
            measured: the window.
            tensors: parameters and buffers, to roll back.
            optimizer: what trains them.
            step: optimizer steps done.
            closes: whether the window is over.
        """
        trouble = self._health.trouble(measured)
        if trouble is None:
            self.scale = min(self._largest_scale, self.scale * self.backoff**-0.2)
            if self._watched and closes:
                self._watch_progress(measured, tensors, optimizer, step)
            elif self._watched:
                self._look(measured, step)
            due = not 0 <= step - self._kept_at < self._keep_every
            if self._keeps and due and not (self._stall.on_trial or self._overshoot.worse):
                self._keep(tensors, step)
            return None
        self.scale = max(_LOWEST_SCALE, self.scale * self.backoff)
        self.note(trouble, "training goes on" if self.handed_over else "multipliers drop")
        if not self.handed_over:
            self._restore(tensors, optimizer)
        if self._stall.on_trial:
            self._stall.take_back()
        self._bad += 1
        if self._watched and self._bad == self.patience:
            self._hand_over(trouble)
        return trouble

    @property
    def _largest_scale(self) -> float:
        """What the scale comes back to: steps that went too far are not tried again."""
        return float(self.backoff**self._overshoot.cuts)

    def _look(self, measured: Measurement, step: int) -> None:
        """Take note of the first steps, within the first window."""
        loss = float(measured.loss)
        self._overshoot.look(loss, step)
        # Where no layer moves as the user would have it, they cannot tell of a standstill.
        if bool((measured.multiplier >= 1.0).any()):
            self._stall.look(loss, step, float(measured.progress))

    def _keep(self, tensors: Sequence[Tensor], step: int) -> None:
        self._kept_at = step
        self._last_good.keep(tensors)

    def _watch_progress(
        self, measured: Measurement, tensors: Sequence[Tensor], optimizer: Optimizer, step: int
    ) -> None:
        run = rows_on_host(measured)[:, 0]
        seen = float(run[ROW["loss"]]), step, float(run[ROW["progress"]])
        on_trial = self._stall.on_trial
        overshot = self._overshoot.note(*seen) and not on_trial
        found = self._stall.note(*seen)
        overshot = overshot or (found == "lifted" and self._overshoot.worse)
        if overshot and self._go_back(measured, tensors, optimizer, step):
            return
        if found == "lifted":
            self.note("the loss does not fall", "your own learning rates are tried")
            if self._keeps and not self._overshoot.above_start:
                self._keep(tensors, step)
        elif found == "harmed":
            self.note("your own learning rates made the loss rise", "multipliers come back")
            self._restore(tensors, optimizer)

    def _go_back(
        self, measured: Measurement, tensors: Sequence[Tensor], optimizer: Optimizer, step: int
    ) -> bool:
        """Put good weights back and go on with smaller steps; False if there are none."""
        may = self._overshoot.may_go_back and not self.handed_over
        if not may or not self._restore(tensors, optimizer):
            return False
        self._overshoot.cuts += 1
        self.scale = min(self.scale, self._largest_scale)
        # Where all multipliers are below 1, the user's own rates would go yet farther.
        within = bool((measured.multiplier[measured.is_guidance == 0] < 1.0).all())
        self._stall.begin_anew(step, tries=not within)
        self.note("the loss rose again", f"multipliers are {self._largest_scale:g} of the policy's")
        return True

    def _restore(self, tensors: Sequence[Tensor], optimizer: Optimizer) -> bool:
        """Put good weights back, and watch the run anew; False if there are none."""
        if not self._keeps or not self._last_good.restore(tensors, optimizer):
            return False
        self.note(ROLLED_BACK)
        self._overshoot.begin_anew()
        self._health.begin_anew()
        return True

    def _hand_over(self, trouble: str) -> None:
        """Let the fallback, or the user's own schedule, have the run from now on."""
        self.handed_over, self.scale = True, 1.0
        self.dropped = self.dropped or self.fallback is not None
        then = self._instead() if self.fallback else "your own learning rates hold from now on"
        self.note(f"{self.patience} bad windows, the last because {trouble}", then)

    def choose(
        self,
        policy: Policy,
        observation: Tensor | None,
        state: State,
        measured: Measurement,
    ) -> tuple[Tensor, State, str | None]:
        """Return multipliers `[L]` before `scale`, the policy's new state, and what went wrong.

        Args:
            policy: the run's own.
            observation: for it; None if it could not be made.
            state: of the policy.
            measured: for the fallback.
        """
        if self.handed_over and self.fallback is None:
            return on_host([1.0] * len(measured.present)), state, self._trouble
        if observation is not None and not self.dropped:
            try:
                chosen, state = self._ask(policy, observation, state)
                self._chosen = chosen
                if self._bold is None:
                    self._bold = bool((chosen > 1.0).any())
                return chosen, state, self._trouble
            except Exception as error:  # whatever the policy does, the training goes on
                self.fail("the policy failed", error)
        return self._otherwise(measured), state, self._trouble

    def again(self, measured: Measurement) -> Tensor:
        """Return the policy's newest answer once more, as far as what is measured now lets it."""
        if not self.looks or self._chosen is None or len(self._chosen) != len(measured.present):
            return measured.multiplier
        return self.scaled(self._chosen, measured)

    def scaled(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return multipliers times `scale`; only learning rates drop, not what guides.

        Those of a cautious policy go no further than its ceiling.
        """
        if self.handed_over:
            return chosen
        if self._cautious:
            chosen = self._ceiling.limit(chosen, measured)
        chosen = self._stall.lift(chosen, measured)
        if self.scale == 1.0:
            return chosen
        return torch.where(measured.is_guidance > 0, chosen, chosen * self.scale)

    # Checkpoints --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {
            "scale": self.scale,
            **self._asking_state(),
            **self._health.state_dict(),
            "good": self._last_good.state_dict(),
            "ceiling": self._ceiling.state_dict(),
            "stall": self._stall.state_dict(),
            "overshoot": self._overshoot.state_dict(),
            "bad": self._bad,
            "bold": self._bold,
            "handed_over": self.handed_over,
            "kept_at": self._kept_at,
        }

    def kept(self) -> tuple[LastGood, int]:
        """Return what no checkpoint holds: a light copy of good weights, and its step."""
        return copy.copy(self._last_good), self._kept_at

    def keep(self, kept: tuple[LastGood, int]) -> None:
        """Take back what `kept` returned, after a load that was given up."""
        self._last_good, self._kept_at = kept

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self.scale = state["scale"]
        self._load_asking(state)
        self._health.load_state_dict(state)
        self._last_good.load_state_dict(state["good"])
        self._ceiling.load_state_dict(state.get("ceiling", {}))
        self._stall.load_state_dict(state.get("stall", {}))
        self._overshoot.load_state_dict(state.get("overshoot", {}))
        self._bad = state.get("bad", 0)
        self._bold = state.get("bold")
        self.handed_over = state.get("handed_over", False)
        # A light copy is of the weights before the load: the next good window makes another.
        self._kept_at = -self._keep_every if self.roll_back is None else state.get("kept_at", 0)
