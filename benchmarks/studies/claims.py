"""What a policy that earns its learning must show, and what the published results say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import typer
from numpy.typing import NDArray

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
RULED = (
    (
        "zero-shot-composed",
        "composed held-out tasks, mean over base LRs",
        (("trust ratio, 0.3 %", 0.01, True), ("trust ratio", 0.02, True)),
    ),
    (
        "zero-shot-rules",
        "zero-shot tasks, mean over base LRs",
        (
            ("trust ratio", 0.02, True),
            ("L-DoG", 0.0, False),
            ("schedule-free AdamW", 0.0, False),
            ("Prodigy", 0.0, False),
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
_GOING_BACK = "garments-32-going-back"
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
            *self._garments_probing(),
            *self._elsewhere(),
            *self._rules(),
        ]

    def _probing(self) -> Iterator[Claim]:
        """Yield the claims about what a probe tells: trials of the family composed."""
        folder = "composed-trials"
        data = load_data_set(self.results / folder / "train")
        study = Offline(data=self.results)
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
        runs = Counter(trial.episode for trial in trials)
        twice = won[
            [runs[episode] > 1 for episode in dict.fromkeys(t.episode for t in data.trials)]
        ]
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
            gains = _over_all(rows, families, (POLICY, other), "default")
            yield Claim(f"{POLICY} − {other}, all families", must, False, gains, folder)
        for other in ("schedule-free AdamW", "Prodigy"):
            family, gains = worst(other, "mean")
            yield Claim(f"{POLICY} − {other}, worst family ({family})", 0.0, False, gains, folder)
        yield Claim(f"{POLICY}: runs at chance (share, as a loss)", 0.0, False, _lost(rows), folder)

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
                    gains = _over_all(rows, families, (ours, rival), "mean")
                    if must == 0.0:
                        family, gains = _worst(rows, families, (ours, rival), "mean")
                        claim += f", worst family ({family})"
                    yield Claim(claim, must, clear, gains, folder)

    def _garments(self) -> Iterator[Claim]:
        """Yield the claims on a real network and real photographs."""
        for optimizer, folder in (("SGD", "garments-32"), ("AdamW", "garments-32-adamw")):
            path = self.results / folder / "results.json"
            name = f"ASG, {POLICY} − best schedule, default base LR"
            claim = f"{POLICY} − best schedule at its base LR, garments, {optimizer}"
            if not path.is_file():
                yield _not_run(claim, -0.01)
                continue
            figures = {each["figure"]: each for each in read_json(path, _REMEDY)["figures"]}
            found = figures[name]
            told = [found[key] for key in ("value", "low", "high")]
            yield Claim(claim, -0.01, False, Estimate(*told).scaled(0.01), folder)

    def _garments_probing(self) -> Iterator[Claim]:
        """Yield the claim about a policy that probes: means of two tables, so without interval."""
        claim = f"{PROBING}, mean over base LRs − best schedule at its best, garments, SGD"
        paths = [self.results / each / "results.json" for each in (_GOING_BACK, "garments-32")]
        if not all(path.is_file() for path in paths):
            yield _not_run(claim, -0.01)
            return
        policies, table = (read_json(path, _REMEDY)["rows"] for path in paths)
        (own,) = (row for row in policies if row["label"] == f"ASG, {PROBING}")
        rivals = [at["plain_mean"] for row in table if _is_schedule(row) for at in row["by_factor"]]
        gain = own["misjudged"]["plain_mean"] - max(rivals)
        yield Claim(claim, -0.01, False, Estimate(gain), f"{_GOING_BACK}, garments-32")
        lost = Estimate(-own["at_chance"] / own["fine_tunes"])
        name = f"{PROBING}: runs at chance (share, as a loss), garments, SGD"
        yield Claim(name, 0.0, False, lost, _GOING_BACK)

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


def _is_schedule(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of a table is a schedule that a user sets by hand."""
    return row["kind"] == "grid" or (bool(row["profile"]) and not row["guidance"])


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


def _over_all(
    rows: Mapping[str, Any], families: Sequence[str], pair: tuple[str, str], which: str
) -> Estimate:
    """Return by how much the first row is above the second, over the tasks of all families."""
    return _over_tasks(np.concatenate([_difference(rows, pair, f, which) for f in families]))


def _lost(rows: Mapping[str, Any]) -> Estimate:
    row = rows[POLICY]
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
