"""One control session: which decision is due, and what its policy is shown."""

from __future__ import annotations

from hashlib import blake2b

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
    SCALARS,
    check_groups,
    fill,
    fill_run,
    fixed_rows,
    given_rows,
    given_scalars,
    per_group,
)
from l2o.signals.table import ROW

Array = NDArray[np.float32]


class Session:
    """What never changes in a session, and how a measurement is made a decision of.

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
        self._rows = fixed_rows(opening.groups)
        depths = self._rows[ROW["depth"]].tolist()
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
        self._sees_both = {"update", "gradient"} <= policy.signals.needs

    def begin(self) -> tuple[Progress, Measured]:
        """Return how far it is before the first decision, and what is known then."""
        ones = np.ones(self.count, dtype=np.float32)
        start = np.full(self.count, np.nan, dtype=np.float32)
        norms = self.opening.weight_norm
        if norms is not None:
            start[:] = per_group("weight_norm", norms, self.count, 0.0)
        progress = Progress(-1, ones, start, self._rates(self.opening.base_lr))
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

    def digest(self, measured: Measured) -> tuple[bytes, Array, dict[str, float]]:
        """Check what was measured; return what tells it from others, its rows and numbers.

        Raises:
            Problem: a value that cannot be.
        """
        given, scalars = given_rows(measured, self.count), given_scalars(measured)
        told = blake2b(given.tobytes(), digest_size=16)
        told.update(np.array(list(scalars.values())).tobytes())
        if measured.base_lr is not None:
            told.update(b"lr" + self._rates(measured.base_lr).tobytes())
        if measured.multipliers is not None:
            used = per_group("multipliers", measured.multipliers, self.count, 0.0)
            told.update(b"m" + np.array(used, dtype=np.float32).tobytes())
        return told.digest(), given, scalars

    def observe(
        self, progress: Progress, measured: Measured, given: Array, scalars: dict[str, float]
    ) -> Array:
        """Take note of a measurement; return the table of it, which signals are computed from."""
        step = measured.step
        if measured.base_lr is not None:
            progress.base_lr = self._rates(measured.base_lr)
        if measured.multipliers is not None:
            used = per_group("multipliers", measured.multipliers, self.count, 0.0)
            progress.multipliers = np.array(used, dtype=np.float32)
        rows = self._rows.copy()
        fill(rows, given, self._sees_both)
        rows[ROW["multiplier"]] = progress.multipliers
        rows[ROW["base_lr"]] = progress.base_lr
        rows[ROW["start_norm"]] = progress.start_norm
        fill_run(rows, self._run(progress, step, scalars))
        progress.loss, progress.proxy_kl = scalars["loss"], scalars["proxy_kl"]
        progress.step = step
        return rows

    def _run(self, progress: Progress, step: int, scalars: dict[str, float]) -> dict[str, float]:
        """Return the fields of the run."""
        newest = scalars["validation_loss"]
        if newest == newest:
            progress.previous_validation_loss = progress.validation_loss
            progress.validation_loss = newest
        run = {name: scalars[name] for name in SCALARS}
        run |= {
            "previous_loss": progress.loss,
            "previous_proxy_kl": progress.proxy_kl,
            "validation_loss": progress.validation_loss,
            "previous_validation_loss": progress.previous_validation_loss,
        }
        total = self.opening.total_steps
        if total is not None:
            run["progress"] = min(step / total, 1.0)
            run["steps_left"] = float(max(total - step, 0))
            # Of the window's steps, the last began at step - 1.
            middle = max(max(progress.step, 0) + step - 1, 0) / 2
            run["window_progress"] = min(middle / total, 1.0)
        return run

    def _rates(self, given: float | list[float]) -> Array:
        if isinstance(given, list):
            given = per_group("base_lr", list(given), self.count, 0.0)
        return np.full(self.count, given, dtype=np.float32)
