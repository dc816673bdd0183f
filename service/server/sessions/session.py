"""One control session: which decision is due, and what its policy is shown."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from l2o.deciding.learned import LearnedPolicy
from l2o.intervals import Windows
from l2o.intervals.plain import as_interval
from l2o.layers.groups import LayerGroup
from l2o.service.server.errors import Problem
from l2o.service.server.sessions.models import Measured, Opening
from l2o.service.server.sessions.progress import Progress
from l2o.service.server.sessions.rows import (
    GIVEN,
    SCALARS,
    Scalars,
    check_groups,
    fixed_rows,
    given_rows,
    given_scalars,
    per_group,
    tables,
)
from l2o.signals.base import MISSING
from l2o.signals.table import ROW

Array = NDArray[np.float32]
_LATER = GIVEN.index("largest_update")
_SCALARS = Struct(f"={len(SCALARS)}d")


class Session:
    """What never changes in a session, and how a measurement is made a decision of.

    Attributes:
        count: of layer groups.
        rows: a table's, as far as they never change.
        sees_both: whether the policy looks at gradients and updates.

    Args:
        opening: what the client told of the run.
        policy: that decides.
        key: the policy's name and version.

    Raises:
        Problem: groups that are none, or a run that the policy cannot drive.
    """

    def __init__(self, opening: Opening, policy: LearnedPolicy, key: str) -> None:
        check_groups(opening)
        self.opening, self.policy, self.key = opening, policy, key
        self.count = len(opening.groups)
        if policy.guidance_actions:
            terms = ", ".join(policy.guidance_actions)
            raise Problem(
                422,
                f"{key} scales weights of guidance terms, too: {terms}",
                f"ask it with whole observations: POST /v1/policies/{key}/decisions",
            )
        self.rows = fixed_rows(opening.groups)
        depths = self.rows[ROW["depth"]].tolist()
        groups = [
            LayerGroup(group.name, (), (), depth, group.is_head)
            for group, depth in zip(opening.groups, depths, strict=True)
        ]
        try:
            policy.check(groups, opening.total_steps)
        except ValueError as error:
            raise Problem(422, str(error), "send other groups, or ask another policy") from error
        interval = policy.decision_interval(opening.total_steps)
        if opening.interval is not None:
            interval = as_interval(opening.interval)
        self._windows = Windows(interval, opening.total_steps)
        self.sees_both = {"update", "gradient"} <= policy.signals.needs

    def begin(self) -> tuple[Progress, Measured]:
        """Return how far it is before the first decision, and what is known then."""
        arrays = np.ones((3, self.count), dtype=np.float32)
        arrays[1] = np.nan
        norms = self.opening.weight_norm
        if norms is not None:
            arrays[1] = per_group("weight_norm", norms, self.count, 0.0)
        arrays[2] = self._rates(self.opening.base_lr)
        progress = Progress(-1, arrays)
        progress.memory = self.policy.initial_state(self.count)
        drift = None if norms is None else [None if n is None else 0.0 for n in norms]
        return progress, Measured(step=0, weight_norm=norms, drift_norm=drift)

    def next_step(self, step: int) -> int | None:
        """Return the steps done when the decision after this one is due; None: the run ends."""
        if step < 0:
            return 0
        due = self._windows.end_after(step)
        total = self.opening.total_steps
        return None if total is not None and due > total else due

    def digest(self, measured: Measured, given: Array, scalars: Scalars) -> bytes:
        """Return what tells a measurement from others.

        Args:
            measured: by the client.
            given: rows of it, see `given_rows`.
            scalars: numbers of it, see `given_scalars`.

        Raises:
            Problem: learning rates or multipliers that cannot be.
        """
        # What came into the protocol later counts where it is there: a server that is renewed still
        # knows the measurements that it answered before.
        later = given[_LATER]
        told = blake2b(np.delete(given, _LATER, axis=0).tobytes(), digest_size=16)
        if not np.isnan(later).all():
            told.update(b"largest" + later.tobytes())
        told.update(_SCALARS.pack(*scalars))
        if measured.base_lr is not None:
            told.update(b"lr" + self._rates(measured.base_lr).tobytes())
        if measured.multipliers is not None:
            used = per_group("multipliers", measured.multipliers, self.count, 0.0)
            told.update(b"m" + np.array(used, dtype=np.float32).tobytes())
        return told.digest()

    def observe(self, progress: Progress, measured: Measured) -> Array:
        """Take note of one measurement; return the table `[Q, L]` that signals are encoded from.

        Raises:
            Problem: a value that cannot be.
        """
        given = given_rows(measured, self.count)
        run = self.note(progress, measured, given_scalars(measured))
        found: Array = tables([self.rows], [given], [progress.arrays], [run], self.sees_both)[0]
        return found

    def note(self, progress: Progress, measured: Measured, scalars: Scalars) -> list[float]:
        """Take note of a measurement; return the fields of the run, as `RUN_FIELDS` has them."""
        if measured.base_lr is not None:
            progress.arrays[2] = self._rates(measured.base_lr)
        if measured.multipliers is not None:
            progress.arrays[0] = per_group("multipliers", measured.multipliers, self.count, 0.0)
        loss, proxy_kl, newest, mean, std = scalars
        if newest == newest:
            progress.previous_validation_loss = progress.validation_loss
            progress.validation_loss = newest
        losses = [loss, progress.loss, proxy_kl, progress.proxy_kl]
        losses += [progress.validation_loss, progress.previous_validation_loss]
        run = [*losses, *self._times(measured.step, progress.step), mean, std]
        progress.loss, progress.proxy_kl, progress.step = loss, proxy_kl, measured.step
        return run

    def _times(self, step: int, before: int) -> tuple[float, float, float]:
        """Return the progress, the steps left, and the progress in the middle of the window."""
        total = self.opening.total_steps
        if total is None:
            return MISSING, MISSING, MISSING
        # Of the window's steps, the last began at step - 1.
        middle = max(max(before, 0) + step - 1, 0) / 2
        return min(step / total, 1.0), float(max(total - step, 0)), min(middle / total, 1.0)

    def _rates(self, given: float | list[float]) -> Array:
        if isinstance(given, list):
            given = per_group("base_lr", list(given), self.count, 0.0)
        return np.full(self.count, given, dtype=np.float32)
