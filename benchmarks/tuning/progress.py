"""What a search shows while it goes on: a table of its trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.kinds import Searched
from l2o.benchmarks.tuning.numbering import number_of

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 12
"""Trials in the table: the best ones."""


def progress_of(of: Searched, shown: bool, trials: int) -> Any:
    """Return a callback of Ray Tune that notes how trials end, and shows a table of them."""
    from ray import tune

    class Progress(tune.Callback):
        """Notes what trials tell; a context manager, within which the table is shown."""

        def __init__(self) -> None:
            self.ended: dict[int, str] = {}
            self.rows: dict[int, tuple[dict[str, Any], int, float]] = {}
            self._live: Any = None

        def __enter__(self) -> Self:
            if shown:
                from rich.console import Console
                from rich.live import Live

                self._live = Live(console=Console(stderr=True), refresh_per_second=2)
                self._live.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            if self._live is not None:
                self._live.__exit__(*error)

        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
        ) -> None:
            value = float(result.get(of.metric, math.nan))
            self.rows[number_of(trial)] = (dict(trial.config), int(result.get(TIME, 0)), value)
            if self._live is not None:
                self._live.update(table_of(of, self.rows, self.ended, count))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.ended[number_of(trial)] = "ended"

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            said = str(getattr(trial, "get_error", lambda: "")() or "its worker died")
            lines = [line for line in said.splitlines() if line.strip()]
            self.ended[number_of(trial)] = lines[-1] if lines else "its worker died"

        def __getstate__(self) -> dict[str, Any]:
            """Leave out what cannot be saved: Ray keeps its callbacks on disk."""
            return {**self.__dict__, "_live": None}

    count = trials
    return Progress()


def table_of(
    of: Searched,
    rows: dict[int, tuple[dict[str, Any], int, float]],
    ended: dict[int, str],
    trials: int,
) -> Table:
    """Return the table of the best trials so far."""
    from rich.table import Table

    sign = -1.0 if of.mode == "max" else 1.0
    best = sorted(rows.items(), key=lambda each: (sign * each[1][2], each[0]))[:SHOWN]
    names = list(best[0][1][0]) if best else []
    title = f"{len(rows)} of {trials} trials begun, {len(ended)} ended"
    table = Table("trial", *names, TIME, of.metric, title=title, title_justify="left")
    for number, (params, step, value) in best:
        given = (short(params.get(name)) for name in names)
        table.add_row(str(number), *given, f"{step}/{of.length}", f"{value:.4g}")
    return table


def short(value: Any) -> str:
    """Return a value as a table shows it.

    Example:
        >>> short(0.000123456), short({"name": "sgd"})
        ('0.0001235', "{'name': 'sgd'}")
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)
