"""What a policy that earns its learning must show, and what the published results say of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import typer
from numpy.typing import NDArray

from l2o.benchmarks.cells.quantities import NEAR_CHANCE
from l2o.benchmarks.report.tables import UNKNOWN, points
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Columns, Study
from l2o.benchmarks.studies.offline import Offline, over_usual
from l2o.benchmarks.studies.options import Json
from l2o.benchmarks.studies.trial_gains import (
    best_by_another_seed,
    best_of_each,
    best_single,
    by_task,
)
from l2o.files.seals import read_json
from l2o.policies.offline.data_set import load_data_set

POLICY, PROBING = "asg-base", "asg-probing"
GRID, ORACLE = "grid tuned by source validation", "the same oracle, chosen by other target images"
SETS_ITS_OWN = ("L-DoG", "schedule-free AdamW", "Prodigy")
"""Optimizers that need no learning rate: what is to be above each of them on every family."""
RULED = (
    (
        "zero-shot-composed",
        "composed held-out tasks, mean over base LRs",
        (
            ("trust ratio, 0.3 %", 0.01, True),
            ("trust ratio", 0.02, True),
            (GRID, 0.02, False),
            ("grid tuned by target accuracy (oracle)", -0.03, False),
            *((rival, 0.0, False) for rival in SETS_ITS_OWN),
        ),
    ),
    (
        "zero-shot-rules",
        "zero-shot tasks, mean over base LRs",
        (
            ("trust ratio, 0.3 %", 0.01, True),
            ("trust ratio", 0.02, True),
            *((rival, 0.0, False) for rival in SETS_ITS_OWN),
        ),
    ),
    (
        "zero-shot-long",
        "2,000 steps",
        (("trust ratio", 0.0, False), (GRID, 0.0, False)),
    ),
)
"""Published comparisons with rules: folder, tasks, and rivals with what is to be won over each.
What is to be at least 0 is held on every family."""
GARMENTS = (
    ("SGD", "garments-32-going-back", "garments-32"),
    ("AdamW", "garments-32-going-back-adamw", "garments-32-adamw"),
)
"""Published tables on a real network: the optimizer, policies, and schedules."""
_REMEDY = "take it from the project's repository again"
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """One claim, and what is known of it.

    Attributes:
        claim: whose gain over whom, on what.
        must: the least that it asks for, in points or a share.
        above_zero: whether its interval must lie above 0.
        found: what was measured; None where it has not been run.
        from_: the published result that it is read off, or why there is none.
    """

    claim: str
    must: float
    above_zero: bool
    found: Estimate | None
    from_: str

    @property
    def verdict(self) -> str:
        """What holds: by the value, and by the interval where that is asked for.

        Example:
            >>> Claim("a", 0.01, True, Estimate(0.02, 0.005, 0.04), "here").verdict
            'holds'
            >>> Claim("a", 0.01, True, Estimate(0.02, -0.005, 0.04), "here").verdict
            'not resolved'
        """
        if self.found is None:
            return "not run"
        if self.found.value < self.must:
            return "falls short"
        return "not resolved" if self.above_zero and not self.found.low > 0.0 else "holds"

    def to_json(self) -> Mapping[str, Any]:
        """Return plain JSON data."""
        found = None if self.found is None else self.found.to_json()
        own = {"claim": self.claim, "must": self.must, "above_zero": self.above_zero}
        return {**own, "found": found, "from": self.from_, "verdict": self.verdict}


@dataclass(frozen=True, kw_only=True)
class Claims(Study[Sequence[Claim]]):
    """What the published results say of each claim about a policy that adapts.

    Nothing is run: every figure is computed from a file under docs/results, by task; what no file
    holds is said not to have been run. Differences are means over tasks with 95 % intervals.
    """

    examples = ("l2o study claims", "l2o study claims --results docs/results --json claims.json")
    title = "Claims, and what was measured of them"
    columns: ClassVar[Columns] = {
        "claim": lambda row: row.claim,
        "must": lambda row: _must(row),
        "found": lambda row: UNKNOWN if row.found is None else points(row.found),
        "verdict": lambda row: row.verdict,
    }

    results: Annotated[
        Path, typer.Option(metavar="DIR", help="The published results, of a checkout.")
    ] = Path("docs/results")
    json: Json = None

    def answer(self) -> Sequence[Claim]:
        """Read off what each claim rests on.

        Raises:
            ValueError: there are no such results.
        """
        if not self.results.is_dir():
            raise ValueError(
                f"there are no results in {self.results}; run it in a checkout of the project, or "
                "say with --results where they are"
            )
        return [
            *self._probing(),
            *self._zero_shot(),
            *self._garments(),
            *self._elsewhere(),
            *self._rules(),
        ]

    def _probing(self) -> Iterator[Claim]:
        """Yield the claims about what a probe tells: trials of the family composed."""
        folder = "composed-trials"
        data = load_data_set(self.results / folder / "train")
        beside = self.results / "digits-trials" / "train"
        study = Offline(data=self.results, beside=beside if beside.is_dir() else None)
        single = f"{PROBING} − best single size of the same tasks"
        won = by_task(data.trials, study.left_out(data, "kind"))
        yield Claim(f"{single}, data kinds left out", 0.0, True, _over_tasks(won), folder)
        for axis in ("pretraining", "architecture"):
            gains = _over_tasks(by_task(data.trials, study.left_out(data, axis)))
            yield Claim(f"{single}, {axis}s left out", 0.0, True, gains, folder)
        held = load_data_set(self.results / folder / "heldout")
        beyond, above = (by_task(held.trials, each) for each in over_usual(study, data, held))
        yield Claim(f"{single}, held-out tasks", 0.01, True, _over_tasks(beyond), folder)
        name = f"{PROBING} − the trust ratio (0.1 %, head × 50), held-out tasks"
        yield Claim(name, 0.02, True, _over_tasks(above), folder)
        name = "share of the gap to the best of each task, data kinds left out"
        share = _share(won, by_task(data.trials, best_of_each(data.trials)))
        yield Claim(f"{name}, the best by other images", 0.35, False, share, folder)
        name += ", the best by other images and another seed"
        again = self.results / folder / "train-again"
        if not again.is_dir():
            yield _not_run(name, 0.35)
            return
        trials = [*data.trials, *load_data_set(again).trials]
        runs = Counter(trial.task for trial in trials)
        twice = won[[runs[task] > 1 for task in dict.fromkeys(t.task for t in data.trials)]]
        best = best_by_another_seed(trials, best_single(data.trials))
        yield Claim(name, 0.35, False, _share(twice, best), folder)

    def _zero_shot(self) -> Iterator[Claim]:
        """Yield the claims over the families of the zero-shot comparison."""
        folder = "zero-shot"
        read = read_json(self.results / folder / "results.json", _REMEDY)
        rows = {row["label"]: row for row in read["rows"]}
        families = list(read["families"])

        def worst(other: str, which: str) -> tuple[str, Estimate]:
            return _worst(rows, families, (POLICY, other), which)

        family, gains = worst(GRID, "default")
        yield Claim(f"{POLICY} − {GRID}, worst family ({family})", -0.01, False, gains, folder)
        for other, must in ((GRID, 0.02), (ORACLE, -0.03)):
            gains = _over_all(read, (POLICY, other), "default")
            yield Claim(f"{POLICY} − {other}, all families", must, False, gains, folder)
        for other in ("schedule-free AdamW", "Prodigy"):
            family, gains = worst(other, "mean")
            yield Claim(f"{POLICY} − {other}, worst family ({family})", 0.0, False, gains, folder)
        yield _at_chance(read, POLICY, folder)

    def _rules(self) -> Iterator[Claim]:
        """Yield the claims against the strongest simple rules, over families of tasks."""
        for folder, where, rivals in RULED:
            path = self.results / folder / "results.json"
            read = read_json(path, _REMEDY) if path.is_file() else None
            for ours in (POLICY, PROBING):
                for rival, must, clear in rivals:
                    claim = f"{ours} − {rival}, {where}"
                    if read is None:
                        yield _not_run(claim, must)
                        continue
                    rows = {row["label"]: row for row in read["rows"]}
                    families = list(read["families"])
                    gains = _over_all(read, (ours, rival), "mean")
                    if must == 0.0:
                        family, gains = _worst(rows, families, (ours, rival), "mean")
                        claim += f", worst family ({family})"
                    yield Claim(claim, must, clear, gains, folder)
                if read is not None and _one_chance(read):
                    yield _at_chance(read, ours, folder)

    def _garments(self) -> Iterator[Claim]:
        """Yield the claims on a real network and photographs: of means, so without intervals."""
        for optimizer, policies, schedules in GARMENTS:
            paths = [self.results / each / "results.json" for each in (policies, schedules)]
            read = [read_json(each, _REMEDY)["rows"] for each in paths if each.is_file()]
            for policy in (POLICY, PROBING):
                where = f"garments, {optimizer}"
                claim = f"{policy}, mean over base LRs − best schedule at its best, {where}"
                chance = f"{policy}: runs at chance (share, as a loss), {where}"
                if len(read) < len(paths):
                    yield from (_not_run(claim, -0.01), _not_run(chance, 0.0))
                    continue
                (own,) = (row for row in read[0] if row["label"] == f"ASG, {policy}")
                best = max(
                    at["plain_mean"] for row in read[1] if row["profile"] for at in row["by_factor"]
                )
                gain = Estimate(own["misjudged"]["plain_mean"] - best)
                yield Claim(claim, -0.01, False, gain, f"{policies}, {schedules}")
                yield Claim(chance, 0.0, False, _lost(own), policies)

    def _elsewhere(self) -> Iterator[Claim]:
        """Yield the claims on a task of none of the families, over seeds."""
        read = read_json(self.results / "policy" / "elsewhere.json", _REMEDY)
        for optimizer in dict.fromkeys(row["optimizer"] for row in read["rows"]):
            own = {r["contender"]: r for r in read["rows"] if r["optimizer"] == optimizer}
            cosine = np.array(own["cosine, flat"]["accuracies"])
            best = cosine[:, cosine.mean(axis=0).argmax()]
            for policy in (POLICY, PROBING):
                claim = f"{policy} − cosine at the right base LR, a task of no family, {optimizer}"
                if policy not in own:
                    yield _not_run(claim, -0.02)
                    continue
                gains = np.array(own[policy]["accuracies"]).mean(axis=1) - best
                yield Claim(claim, -0.02, False, _over_tasks(gains), "policy/elsewhere.json")


def _difference(rows: Mapping[str, Any], pair: tuple[str, str], family: str, which: str) -> Scores:
    """Return by how much the first row is above the second on each task of a family."""
    ours, theirs = (_scores(rows[label]["families"][family], which) for label in pair)
    return ours - theirs


def _scores(told: Mapping[str, Any], which: str) -> Scores:
    """Return a row's accuracy on each task of a family, in the mean over seeds."""
    if "scores" in told:
        # As results were written before rows of comparisons had one format: tasks, then seeds.
        return np.array(told["scores"][which], dtype=np.float64).mean(axis=1)
    return np.array(told[f"scores_{which}"], dtype=np.float64).mean(axis=0)


def _worst(
    rows: Mapping[str, Any], families: Sequence[str], pair: tuple[str, str], which: str
) -> tuple[str, Estimate]:
    """Return the family where the first row is above the second by least, and by how much."""
    found = {f: _over_tasks(_difference(rows, pair, f, which)) for f in families}
    name = min(found, key=lambda family: found[family].value)
    return name, found[name]


def _over_all(read: Mapping[str, Any], pair: tuple[str, str], which: str) -> Estimate:
    """Return by how much the first row is above the second, over the tasks of all families.

    Families that differ in optimizer alone have the same tasks: each is drawn with all its runs.
    """
    rows = {row["label"]: row for row in read["rows"]}
    alike: dict[str, list[Scores]] = {}
    for family, told in read["families"].items():
        options = {key: v for key, v in told["task"]["options"].items() if key != "base_lr"}
        same = json.dumps([told["task"]["name"], options], sort_keys=True)
        alike.setdefault(same, []).append(_difference(rows, pair, family, which))
    return estimate([np.stack(runs) for runs in alike.values()], mean, TASKS)


def _one_chance(read: Mapping[str, Any]) -> bool:
    """Tell whether the tasks of a family are all of the same number of classes."""
    return all(len(told["chance"]) == 1 for told in read["families"].values())


def _at_chance(read: Mapping[str, Any], policy: str, folder: str) -> Claim:
    """Claim that a policy ends at chance on no task on which the tuned grid does not."""
    rows = {row["label"]: row for row in read["rows"]}
    lost, tasks = 0, 0
    for family, told in read["families"].items():
        near = NEAR_CHANCE * told["chance"][0]
        ours, grid = (_scores(rows[r]["families"][family], "default") for r in (policy, GRID))
        lost += int(((ours <= near) & (grid > near)).sum())
        tasks += len(ours)
    name = (
        f"{policy}: tasks at chance where the tuned grid is not (share, as a loss), default base LR"
    )
    return Claim(f"{name}, {folder}", 0.0, False, Estimate(-lost / tasks), folder)


def _lost(row: Mapping[str, Any]) -> Estimate:
    return Estimate(-row["at_chance"] / row["fine_tunes"])


def _share(won: Scores, best: Scores, resamples: int = 2000) -> Estimate:
    """Return the share that is won of what there is to win; whole tasks are resampled."""
    drawn = np.random.default_rng(0).integers(len(won), size=(resamples, len(won)))
    shares = won[drawn].mean(axis=1) / best[drawn].mean(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return Estimate(won.mean() / best.mean(), low, high, len(won), len(won))


def _over_tasks(gains: Scores) -> Estimate:
    return estimate(gains[None], mean, TASKS)


def _not_run(claim: str, must: float) -> Claim:
    return Claim(claim, must, False, None, "no published result holds it")


def _must(row: Claim) -> str:
    return f">= {100 * row.must:g}" + (", interval above 0" if row.above_zero else "")
