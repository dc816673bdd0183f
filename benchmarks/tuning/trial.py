"""One trial: what it is given, what it tells on the way, and how it goes on after a stop."""

from __future__ import annotations

import hashlib
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.numbering import number_in
from l2o.benchmarks.tuning.space import Params, plain_params, with_fields
from l2o.configs.tune import TuneConfig
from l2o.files.atomic import write_atomically
from l2o.files.jsonl import append_row, end_torn_row, read_rows
from l2o.files.seals import write_json
from l2o.policies.common.checkpoint import load_checkpoint, save_checkpoint

TRIALS, REPORTS, FAILED, ABOUT = "trials", "reports.jsonl", "failed.json", "trial.json"
REMEDY = "delete the trial's folder, and --resume runs it again"
STATE = frozenset({"iteration", "run", "told"})


class Trainable(ABC):
    """What a trial trains: it begins anew or goes on, and yields what it has reached.

    Attributes:
        metrics: names that its reports may have, the main one first.
    """

    @abstractmethod
    def length(self) -> int:
        """Return how long it is, in what `TIME` counts."""

    @abstractmethod
    def steps(self) -> Iterator[dict[str, float]]:
        """Train; yield `TIME` and metrics whenever there are some."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what another one goes on from: tensors and plain data."""

    @abstractmethod
    def go_on(self, state: dict[str, Any], changed: bool) -> None:
        """Go on from a state; of a trial with other settings than this one's, if changed."""


@dataclass(frozen=True)
class Plan:
    """What all trials have in common; travels to where they run.

    Attributes:
        config: of the search.
        base: config of `config.of`, with its changes.
        out: folder of the search.
        metric: what is reported to Ray.
        states: whether each report leaves a state that another trial may go on from.
        length: of a trial; 0: its own config says.
    """

    config: TuneConfig
    base: Any
    out: Path
    metric: str
    states: bool = False
    length: int = 0

    def config_of(self, params: Params) -> Any:
        """Return the config of a trial."""
        return with_fields(self.config, self.base, params, "what the trial was given")


@dataclass
class Segment:
    """A stretch of a trial under one set of values: a trial, or with PBT a part of one.

    Attributes:
        number: of the trial.
        params: the values.
        parent: folder's name and step that it goes on from; None: from the beginning.
    """

    number: int
    params: dict[str, Any]
    parent: tuple[str, int] | None = None
    key: str = field(init=False)

    def __post_init__(self) -> None:
        told = json.dumps([self.params, self.parent], sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()[:10]
        self.key = f"{self.number:05d}-{digest}"


def run_trial(plan: Plan, make: Callable[[Any, Path], Trainable], given: Params) -> None:
    """Run a trial in Ray: report as it goes, from where it was when it was stopped.

    What it has reported in an earlier run of the same search is reported again, not computed. An
    error is written into its folder, and ends it alone.
    """
    from ray import tune

    params = plain_params(given)
    number = number_in(tune.get_context().get_trial_name())
    with _handed_over() as handed:
        segment, state, since = _segment(number, params, handed)
        folder = plan.out / TRIALS / segment.key
        folder.mkdir(parents=True, exist_ok=True)
        write_json(
            folder / ABOUT, {"number": number, "params": params, "parent": segment.parent}, indent=2
        )
        try:
            for told in reports(plan, make, params, folder, state, since):
                _report(plan, folder, segment, told)
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            write_json(folder / FAILED, {"error": f"{type(error).__name__}: {first}"}, indent=2)


def reports(
    plan: Plan,
    make: Callable[[Any, Path], Trainable],
    params: Params,
    folder: Path,
    state: dict[str, Any] | None = None,
    since: int = 0,
) -> Iterator[dict[str, float]]:
    """Yield the reports of a trial after step `since`: those that are kept, then new ones."""
    path = folder / REPORTS
    end_torn_row(path, REMEDY)
    kept = [row for row in read_rows(path, REMEDY) if row[TIME] > since]
    (folder / FAILED).unlink(missing_ok=True)
    at = since
    for row in kept:
        at = int(row[TIME])
        yield {name: value for name, value in row.items() if name != "sha256"}
    if plan.length and at >= plan.length:
        return  # all of it is kept, and making it takes long
    trainable = make(plan.config_of(params), folder)
    if at >= trainable.length():
        return
    own = load_checkpoint(folder, fields=STATE) if kept else None
    if own is not None:
        trainable.go_on(own["run"], changed=False)
        if own["told"][TIME] > at:
            # Killed between the state and its report.
            at = int(own["told"][TIME])
            append_row(path, own["told"])
            yield own["told"]
    elif state is not None:
        trainable.go_on(state["run"], changed=True)
    for told in trainable.steps():
        if told[TIME] <= at:
            continue  # computed again from an older state
        state = {"iteration": int(told[TIME]), "run": trainable.state(), "told": told}
        save_checkpoint(folder, state)
        if plan.states:
            write_atomically(_state_at(folder, told), _latest(folder).read_bytes())
        append_row(path, told)
        yield told


def handed_state(folder: Path, told: dict[str, float]) -> bytes:
    """Return the state that goes with a report, which may be told again long after it was made."""
    kept = _state_at(folder, told)
    return (kept if kept.exists() else _latest(folder)).read_bytes()


def _state_at(folder: Path, told: dict[str, float]) -> Path:
    return folder / "states" / f"{int(told[TIME])}.pt"


def _latest(folder: Path) -> Path:
    return folder / "checkpoints" / "latest.pt"


def _segment(
    number: int, params: dict[str, Any], handed: Path | None
) -> tuple[Segment, dict[str, Any] | None, int]:
    """Return what is run, the state that it goes on from, and that state's step."""
    if handed is None:
        return Segment(number, params), None, 0
    about = json.loads((handed / ABOUT).read_text(encoding="utf-8"))
    state = load_checkpoint(handed, fields=STATE)
    step = int(about[TIME])
    if about["number"] == number and about["params"] == params:
        parent = about["parent"]
        own = Segment(number, params, None if parent is None else (parent[0], parent[1]))
        return own, state, step
    return Segment(number, params, (about["key"], step)), state, step


def _report(plan: Plan, folder: Path, segment: Segment, told: dict[str, float]) -> None:
    from ray import tune

    if not plan.states:
        tune.report(told)
        return
    with tempfile.TemporaryDirectory() as name:
        handed = Path(name)
        write_atomically(_latest(handed), handed_state(folder, told))
        about = {
            "key": segment.key,
            "number": segment.number,
            "params": segment.params,
            "parent": segment.parent,
            TIME: told[TIME],
        }
        write_atomically(handed / ABOUT, json.dumps(about))
        tune.report(told, checkpoint=tune.Checkpoint.from_directory(name))


class _handed_over:
    """The folder that Ray hands a trial to go on from, None if it begins."""

    def __enter__(self) -> Path | None:
        from ray import tune

        checkpoint = tune.get_checkpoint()
        self._held = None if checkpoint is None else checkpoint.as_directory()
        return None if self._held is None else Path(self._held.__enter__())

    def __exit__(self, *error: Any) -> None:
        if self._held is not None:
            self._held.__exit__(*error)
