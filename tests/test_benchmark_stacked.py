"""Cells run stacked give the records of cells run one by one."""

import json
import multiprocessing
from functools import partial

import pytest
import torch
from stacked_cells import (
    GUIDED,
    WILD,
    assert_alike,
    bundle,
    rows_of_every_kind,
    settings,
    stacked_records,
)
from tiny import TinyFamily

from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cells import curve as curve_module
from l2o.benchmarks.cells.cell import run_cell
from l2o.benchmarks.cells.queue import CellQueue
from l2o.benchmarks.cells.record import Record, finite
from l2o.benchmarks.cells.record_file import read_records
from l2o.benchmarks.cells.stackable import ALONE, stack_key, why_alone
from l2o.benchmarks.cells.stacked import StackedCells, period
from l2o.benchmarks.comparisons.table.missing_cells import signals_of
from l2o.configs.schema import FineTuning, Grid, Named, Row
from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.policies import SlotPolicies
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import Bins, LogRange
from l2o.signals.spec import SignalSpec


@pytest.fixture
def unrounded(monkeypatch):
    """Records hold every digit."""
    monkeypatch.setattr(curve_module, "finite", partial(finite, digits=17))


@pytest.mark.parametrize(("family", "loss"), [("Varied", 1e-5), ("Double", 1e-10)])
def test_records_are_those_of_cells_run_one_by_one(family, loss, tmp_path, unrounded):
    """In float64 only what is decided from signals, in float32, may differ in its last digits."""
    rows = rows_of_every_kind(tmp_path, family)
    config = settings(family, rows=rows, tasks=2, seeds=1)
    plan = make_plan(config)
    records, notes = stacked_records(config)
    assert notes == []
    seeing = [row for row in plan.rows if row.kind == "policy" or row.label == "auto-rgn"]
    learned = {cell.id for row in seeing for cell in row.cells}
    outcomes = set()
    for cell in plan.cells:
        theirs = run_cell(cell)
        assert_alike(records[cell.id], theirs, 1e-5 if cell.id in learned else loss)
        outcomes.add((theirs.error is None and theirs.diverged, theirs.error is None))
    assert outcomes == {(True, True), (False, True), (False, False)}, "the rows show every outcome"


@pytest.mark.parametrize(
    ("steps", "evaluations", "interval"), [(20, 4, 5), (20, 4, 3), (7, 20, 2), (11, 1, 30)]
)
def test_records_are_equal_wherever_evaluations_fall(steps, evaluations, interval, unrounded):
    kinds = {"a": {"schedule": "cosine"}, "b": {"early_stopping": {"patience": 1}}}
    config = settings(
        "Double",
        steps,
        rows=tuple(
            Row(label=f"{label}, {rate}", base_lr=rate, **kind)
            for label, kind in kinds.items()
            for rate in (None, WILD["Double"])
        ),
        evaluations=evaluations,
        base_lr_factors=(1.0,),
        finetuning=FineTuning(interval=interval),
    )
    records, _ = stacked_records(config)
    for cell in make_plan(config).cells:
        assert_alike(records[cell.id], run_cell(cell), 1e-10)


def test_slots_are_filled_as_cells_end(unrounded):
    """More cells than slots; those that diverge make room at the next evaluation."""
    rows = (Row(label="wild", base_lr=WILD["Double"]), Row(label="a"))
    config = settings("Double", rows=rows, base_lr_factors=(1.0,))
    config = config.model_copy(update={"evaluations": 4})
    plan = make_plan(config)
    cells = sorted(plan.cells, key=lambda cell: cell.task_seed % 2)
    left, asked = list(cells), []

    def take(count):
        asked.append((count, len(left)))
        return [left.pop(0) for _ in range(min(count, len(left)))]

    stacked = StackedCells(cells[0], signals_of(plan), slots=3)
    records = {record.id: record for record in stacked.run(take)}
    assert asked[0] == (3, 12)
    assert any(count < 3 and left for count, left in asked), "filled while others went on"
    for cell in cells:
        assert_alike(records[cell.id], run_cell(cell), 1e-10)


def test_period_of_evaluations():
    assert period([30, 60]) == 30
    assert period([7]) == 7
    assert period([30, 50, 80]) is None


def test_one_that_fails_never_takes_its_neighbours_down():
    config = settings("Broken", tasks=5, rows=(Row(label="a", schedule="cosine"),))
    records, notes = stacked_records(config)
    for cell in make_plan(config).cells:
        assert_alike(records[cell.id], run_cell(cell), 1e-5)
    errors = {record.error for record in records.values()}
    assert {error.partition(":")[0] for error in errors if error} == {
        "OSError",
        "AttributeError",
        "IndexError",
    }
    assert sum(error is None for error in (r.error for r in records.values())) == 2 * 2 * 2
    assert all("run one by one" in note for note in notes)


def test_what_has_no_stacked_form_is_run_alone_and_said_once(tmp_path, capsys):
    mine = "stacked_cells"
    rows = (
        Row(label="own", guidance={f"{mine}:OwnGuidance": {"weight": 0.3}}),
        Row(label="known", guidance={"proxy_kl": {"weight": 0.3}}),
    )
    config = settings(rows=rows, tasks=1)
    run_benchmark(config, tmp_path, workers=1, progress=False)
    said = capsys.readouterr().err
    assert said.count("has no stacked form") == 1
    assert "OwnGuidance" in said
    records = read_records(tmp_path / "cells.jsonl", Record)
    own, known = make_plan(config).rows
    for one, other in zip(own.cells, known.cells, strict=True):
        assert stack_key(one) == ALONE != stack_key(other)
        # An own guidance that does the same gives the same.
        changed = {"id": one.id}
        assert_alike(records[one.id], records[other.id].model_copy(update=changed), 1e-5)
    optimizer = FineTuning(optimizer=Named(name=f"{mine}:OwnSGD"))
    cell = make_plan(settings(rows=rows[:1], finetuning=optimizer)).cells[0]
    assert why_alone(cell) == f"optimizer {mine}:OwnSGD"


def test_keys_part_what_cannot_be_stacked_together():
    def key(**row):
        changes = {name: row.pop(name) for name in ("finetuning", "precision") if name in row}
        return stack_key(make_plan(settings(rows=(Row(label="a", **row),), **changes)).cells[0])

    same = {key(), key(guidance=GUIDED), key(schedule="cosine"), key(base_lr_factors=(9.0,))}
    assert len(same) == 1
    others = [
        key(guidance={}),
        key(guidance={"proxy_kl": {"cap": 1.0}}),
        key(early_stopping={"patience": 1}),
        key(precision="bf16"),
        key(finetuning=FineTuning(interval=7)),
    ]
    assert len({*same, *others}) == 6


def test_contrastive_rows_are_stacked(unrounded):
    """Rows of equal options but for the weight together; not those that draw views in each step."""
    term = {"layers": ["first", "second"], "augment": None, "queue": 30}
    rows = tuple(
        Row(label=str(weight), guidance={"contrastive": {**term, "weight": weight}})
        for weight in (0.3, 0.0)
    )
    config = settings("Double", rows=rows, tasks=2, seeds=1)
    cells = make_plan(config).cells
    assert len({stack_key(cell) for cell in cells} - {ALONE}) == 1
    records, notes = stacked_records(config)
    assert notes == []
    for cell in cells:
        assert_alike(records[cell.id], run_cell(cell), 1e-10)
    fresh = Row(label="fresh", guidance={"contrastive": {**term, "views": 0}})
    cell = make_plan(settings("Double", rows=(fresh,))).cells[0]
    assert "views: 0" in why_alone(cell)


def test_the_queue_shares_a_kind_among_its_takers():
    cells = make_plan(settings(rows=(Row(label="a"), Row(label="b", guidance={})))).cells
    queue = CellQueue(cells, takers=2)
    key, first = queue.take(None, 100)
    assert len(first) == 6
    assert len(queue.take(key, 100)[1]) == 6
    assert queue.take(key, 100)[1] == []
    other, second = queue.take(None, 2)
    assert other != key
    assert len(second) == 2
    single = CellQueue(cells, takers=1, stacked=False)
    assert single.take(None, 1) == (ALONE, cells[:1])


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """A benchmark whose cells are not stacked, and its records."""
    folder = tmp_path_factory.mktemp("apart")
    seen = SignalSpec(("present", "depth", "progress", "loss"))
    config = settings(
        rows=(Row(label="a", policy=bundle(folder / "policy", Bins(), signals=seen)),),
        grid=Grid(schedules=("cosine",), profiles=("flat", "frozen_backbone")),
        stacked=False,
    )
    run_benchmark(config, folder / "run", workers=1, progress=False)
    return config, read_records(folder / "run" / "cells.jsonl", Record)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_benchmark_is_the_same_stacked_and_not(workers, tmp_path, one_by_one):
    apart, others = one_by_one
    config = apart.model_copy(update={"stacked": True})
    run_benchmark(config, tmp_path / "stacked", workers=workers, progress=False)
    records = read_records(tmp_path / "stacked" / "cells.jsonl", Record)
    assert records.keys() == others.keys()
    for id, record in records.items():
        assert_alike(record, others[id], 1e-5)
        assert record.seconds > 0
    # A benchmark goes on where it stopped, whichever way.
    before = (tmp_path / "stacked" / "cells.jsonl").read_text()
    run_benchmark(apart, tmp_path / "stacked", workers=1, progress=False)
    assert (tmp_path / "stacked" / "cells.jsonl").read_text() == before


def test_a_worker_that_dies_ends_the_benchmark_and_says_what_to_do(tmp_path):
    config = settings(rows=(Row(label="a", policy="stacked_cells:Dies"),), tasks=1)
    with pytest.raises(RuntimeError, match=r"worker process died.*run the same command again"):
        run_benchmark(config, tmp_path, workers=2, progress=False)
    assert multiprocessing.active_children() == []


def test_bf16_makes_other_cells_and_near_numbers(tmp_path):
    rows = (Row(label="a", schedule="cosine"),)
    config = settings(rows=rows, precision="bf16", base_lr_factors=(0.1,))
    others = stacked_records(settings(rows=rows, base_lr_factors=(0.1,)))[0].values()
    plain = {(record.task_seed, record.seed): record for record in others}
    records, _ = stacked_records(config)
    for id, record in records.items():
        other = plain[record.task_seed, record.seed]
        assert id != other.id
        mine, theirs = (r.scores["source_validation"]["loss"] for r in (record, other))
        assert mine != theirs
        assert mine == pytest.approx(theirs, rel=0.05)
    alone = run_cell(make_plan(config).cells[0])
    assert "precision bf16 is for stacked" in alone.error


def test_bf16_computes_each_step_with_the_weights_of_that_step():
    """Not with those at the window's first: casts are not kept from step to step."""
    start = Start(TinyFamily().sample(0), 0, 0.1)
    weights = []
    for precision in ("float32", "bf16"):
        runs = StackedFineTune(FineTuning(interval=20), 1, 4, precision=precision)
        runs.reset({0: start})
        runs.advance()
        weights.append(runs.weights(0))
    plain, rounded = weights
    began = dict(start.task.build_model().named_parameters())
    for name, weight in plain.items():
        if not name.startswith("head"):
            moved = (weight - began[name]).norm()
            assert (rounded[name] - weight).norm() < 0.05 * moved, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stacked": False, "precision": "bf16"}, "stacked=true or precision=float32"),
        ({"precision": "fp8"}, "float32"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(rows=(Row(label="a"),), **changes)


def test_bf16_of_what_cannot_be_stacked_is_refused_before_any_work(tmp_path):
    rows = (Row(label="a", guidance={"stacked_cells:OwnGuidance": {}}),)
    with pytest.raises(ValueError, match="has no stacked form"):
        run_benchmark(settings(rows=rows, precision="bf16"), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


# --- policies of many runs


def test_equal_policies_decide_in_one_call(tmp_path):
    signals = SignalSpec()
    calls = []

    class Counts(LayerPolicyNetwork):
        def forward(self, observation, state=None):
            calls.append(tuple(observation.shape))
            return super().forward(observation, state)

    torch.manual_seed(0)
    learned = LearnedPolicy(Counts(len(signals), 1, hidden=8), LogRange(0.01, 1.0), signals)
    policies = SlotPolicies(signals, layers=4)
    for run, layers in enumerate((4, 3, 4)):
        policies.begin(run, learned, layers)
    policies.begin(3, SchedulePolicy("constant", "small_backbone"), 3)
    seen = torch.rand(4, 4, len(signals))
    seen[..., 0] = 1.0
    seen[1, 3] = seen[3, 3] = 0.0
    seen[3, :3, signals.index("is_head")] = torch.tensor([0.0, 0.0, 1.0])
    decided = policies.decide(seen, range(4))
    assert calls == [(3, 4, len(signals))]
    for run, layers in enumerate((4, 3, 4)):
        alone, _ = learned(seen[run, :layers], {})
        torch.testing.assert_close(decided[run], alone)
    torch.testing.assert_close(decided[3], torch.tensor([0.1, 0.1, 1.0]))


def test_a_policy_that_fails_leaves_those_that_decide_with_it_alone():
    signals = SignalSpec()
    torch.manual_seed(0)
    network = LayerPolicyNetwork(len(signals), 1, hidden=8, recurrent=True)
    policies = SlotPolicies(signals, layers=2)
    learned = LearnedPolicy(network, LogRange(0.01, 1.0), signals)
    for run in range(2):
        policies.begin(run, learned, 2)
    seen = torch.rand(2, 2, len(signals))
    seen[..., 0] = 1.0
    _, state = learned(seen[0], learned.initial_state(2))
    expected, _ = learned(seen[0], state)
    policies.decide(seen, [0, 1])
    seen[1] = torch.nan
    decided = policies.decide(seen, [0, 1])
    torch.testing.assert_close(decided[0], expected)
    assert "finite and not negative" in str(decided[1])


def test_records_are_json():
    records, _ = stacked_records(settings(rows=(Row(label="a", base_lr=WILD["Varied"]),)))
    assert all(record.diverged for record in records.values())
    assert json.loads(json.dumps([r.model_dump() for r in records.values()], allow_nan=False))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cells_are_stacked_on_cuda(unrounded):
    config = settings("Double", rows=(Row(label="a"), Row(label="b", schedule="cosine")))
    on_cuda = config.finetuning.model_copy(update={"device": "cuda"})
    records, notes = stacked_records(config.model_copy(update={"finetuning": on_cuda}))
    assert notes == []
    place = ("task_seed", "seed", "base_lr_factor")
    mine = sorted(records.values(), key=lambda r: [getattr(r, key) for key in place])
    theirs = sorted(
        stacked_records(config)[0].values(), key=lambda r: [getattr(r, key) for key in place]
    )
    seen, expected = (
        [[r.scores["source_validation"]["loss"] for r in rs], [r.steps for r in rs]]
        for rs in (mine, theirs)
    )
    for row, other in zip(seen, expected, strict=True):
        assert sorted(row) == pytest.approx(sorted(other), rel=1e-6)


@pytest.mark.parametrize("changed", [{"rehearsal": 0.5}, {"source_weights": "learned"}])
def test_mixed_batches_are_run_one_by_one(changed):
    row = Row(label="a", schedule="cosine", finetuning=changed)
    cell = make_plan(settings(rows=(row,))).cells[0]
    assert "source_weights, source_norm or rehearsal" in why_alone(cell)
    assert stack_key(cell) == ALONE
