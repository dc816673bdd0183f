import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from benchmark_cases import config, one_cell
from tiny import TinyFamily

from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cells.cell import LATER, run_cell, stops
from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.cells.record_file import read
from l2o.benchmarks.cells.target_measures import ENERGIES
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.table.plan import LEARNED, fingerprint
from l2o.configs.catalog import list_presets
from l2o.configs.load import load_config, load_table
from l2o.configs.schema import BenchmarkConfig, Claim, FineTuning, Grid, Named, Row
from l2o.deciding.bundle import save_policy
from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import LogRange
from l2o.signals.spec import SignalSpec

PUBLISHED = "82d4d43bb77d2a50"
"""The id of a plain cell, as it was when the tables of docs/results were made."""


class Explodes(Policy):
    def __call__(self, observation, state):
        return torch.full(observation.shape[:1], 1e30), state


@pytest.fixture
def bundle(tmp_path):
    def make(seed=0):
        torch.manual_seed(seed)
        signals = SignalSpec()
        network = LayerPolicyNetwork(len(signals), 1, hidden=8)
        policy = LearnedPolicy(network, LogRange(0.01, 1.0), signals)
        return str(save_policy(tmp_path / "policy", policy, {"name": "untrained"}))

    return make


# --- plan


def test_plan_lays_out_rows_and_cells(bundle):
    plan = make_plan(config(policy=bundle()))
    assert [(row.label, row.kind) for row in plan.rows] == [
        (LEARNED, "policy"),
        ("plain", "row"),
        ("cosine, flat", "grid"),
        ("cosine, frozen backbone", "grid"),
    ]
    assert len(plan.cells) == 4 * 2 * 2 * 2
    assert plan.rows[1].cells[0].finetuning.guidance == {}
    assert plan.rows[2].cells[0].finetuning.guidance != {}


def test_early_stopping_is_named_with_its_options_only_where_they_tell_rows_apart():
    def labels(*stopping):
        grid = Grid(schedules=("step",), profiles=("flat",), early_stopping=stopping)
        return [row.label for row in make_plan(config(rows=(), grid=grid)).rows]

    assert labels(None, {"patience": 3}) == ["step, flat", "step, flat, early stopping"]
    assert labels({"patience": 3}, {"budget": 0.5}) == [
        "step, flat, early stopping(patience=3)",
        "step, flat, early stopping(budget=0.5)",
    ]


def test_equal_settings_are_run_once_however_they_are_spelled():
    rows = (
        Row(label="a", schedule="cosine"),
        Row(label="b", schedule=Named(name="cosine"), base_lr_factors=(1.0,)),
    )
    plan = make_plan(config(rows=rows, grid=Grid()))
    assert len(plan.cells) == 8
    assert {c.id for c in plan.rows[1].cells} < {c.id for c in plan.rows[0].cells}


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "cosine"},
        {"profile": "small_backbone"},
        {"guidance": {"proxy_kl": {"weight": 2.0}}},
        {"early_stopping": {"patience": 2}},
        {"base_lr_factors": (0.5,)},
    ],
)
def test_whatever_changes_a_cell_changes_its_id(changes):
    assert one_cell(**changes).id != one_cell().id


def test_ids_are_those_of_published_tables():
    """A field that is new is in no id while it has its default: tables can be gone on with."""
    plain = FineTuning().model_dump()
    assert set(plain) - LATER == {"steps", "optimizer", "guidance", "interval", "device"}
    assert one_cell(schedule="cosine").id == PUBLISHED
    changed = FineTuning(rehearsal=0.5, source_weights="learned")
    assert replace(one_cell(schedule="cosine"), finetuning=changed).id != PUBLISHED


def test_ids_are_stable_across_processes():
    code = "import test_benchmark as t; print(t.one_cell(schedule='cosine').id)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == one_cell(schedule="cosine").id


def test_a_retrained_policy_makes_new_cells(bundle):
    first = fingerprint(bundle(0))
    assert fingerprint(bundle(0)) == first
    assert fingerprint(bundle(1)) != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": (), "grid": Grid()}, "no rows"),
        ({"grid": Grid(schedules=("cosine",))}, "one of them is empty"),
        ({"base_lr_factors": ()}, "base_lr_factors is empty"),
        ({"rows": (Row(label="a"), Row(label="a"))}, "'a' is used more than once"),
        ({"rows": (Row(label="cosine, flat"),)}, "'cosine, flat' is used more than once"),
        (
            {"claims": (Claim(claim="c", row="plane", rival="plain"),)},
            "'plane'. Did you mean 'plain'",
        ),
        ({"policy": "no-such-policy"}, "no-such-policy"),
        ({"rows": (Row(label="a", schedule="cosin"),)}, "Did you mean 'cosine'"),
        ({"task": Named(name="digit")}, "Did you mean 'digits'"),
        ({"rows": (Row(label="a", guidance={"proxy": {}}),)}, "proxy_kl"),
    ],
)
def test_impossible_benchmarks_fail_before_any_work(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_benchmark(config(**changes), tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out").exists()


TABLES = [
    name
    for name in sorted(list_presets("benchmark"))
    if isinstance(load_config("benchmark", name), BenchmarkConfig)
]


@pytest.mark.parametrize("name", TABLES)
def test_presets_plan(name, bundle):
    plan = make_plan(load_table(name, [f"policy={bundle()}"]))
    assert plan.rows[0].label == LEARNED


# --- cell


def test_a_cell_measures_what_a_report_needs():
    record = run_cell(one_cell(schedule="cosine"))
    assert record.error is None
    assert record.diverged is False
    assert [point.step for point in record.curve] == [10, 20]
    assert set(record.scores) == {"target_test", "source_validation", "proxy_test"}
    assert record.scores["target_test"] == record.curve[-1].scores["target_test"]
    assert 0 <= record.scores["proxy_test"]["accuracy"] <= 1
    rates = record.rates
    assert rates.base_lr == pytest.approx(0.05 * 0.1)
    assert len(rates.multipliers[0]) == len(rates.groups)
    json.dumps(record.model_dump(), allow_nan=False)


def test_a_cell_is_a_function_of_its_settings():
    first, second = (run_cell(one_cell(schedule="cosine")) for _ in range(2))
    assert timeless(first) == timeless(second)


def test_a_diverged_cell_is_valid_json():
    record = run_cell(one_cell(policy="test_benchmark:Explodes"))
    assert record.error is None
    assert record.diverged is True
    assert record.scores["source_validation"]["loss"] is None
    json.dumps(record.model_dump(), allow_nan=False)


def test_early_stopping_sees_the_validation_loss():
    multipliers = run_cell(
        make_plan(
            config(
                rows=(Row(label="one", early_stopping={"patience": 1}, base_lr_factors=(50.0,)),),
                grid=Grid(),
                finetuning=FineTuning(steps=100, interval=2),
            )
        ).cells[0]
    ).rates.multipliers
    assert multipliers[0][0] == 1.0
    assert multipliers[-1][0] == 0.0


def test_stops_are_spread_and_end_at_the_end():
    assert stops(300, 6) == [50, 100, 150, 200, 250, 300]
    assert stops(2, 6) == [1, 2]


def test_stops_are_at_decisions():
    assert stops(150, 6, interval=10) == [30, 50, 80, 100, 130, 150]
    assert stops(150, 5, interval=10) == [30, 60, 90, 120, 150]
    assert stops(25, 20, interval=10) == [10, 20, 25]
    assert stops(25, 1, interval=10) == [25]
    assert stops(7, 3, interval=10) == [7]


def test_finite_knows_what_json_cannot_hold():
    assert finite(float("nan")) is None
    assert finite(float("inf")) is None
    assert finite(0.12345678) == 0.123457


# --- run


def test_a_benchmark_end_to_end_in_processes(tmp_path, bundle):
    claims = (Claim(claim="training helps", row="cosine, flat", rival="cosine, frozen backbone"),)
    settings = config(policy=bundle(), claims=claims)
    path = run_benchmark(settings, tmp_path / "out", workers=2, progress=False)
    folder = TABLE.load(path.parent)
    results = folder.results
    assert results.counts.fine_tunes == 32
    assert results.failures == ()
    assert {entry.selection for entry in results.tuned} == {
        "source_validation",
        "target_accuracy",
    }
    assert results.tuned[0].fine_tunes_per_task == 2 * 2 * 2
    assert results.claims[0].verdict
    assert {"figure", "value", "must", "goal", "holds"} <= set(results.figures[0].model_dump())
    assert load_config("benchmark", path.parent / "config.yaml") == settings
    assert multiprocessing.active_children() == []
    for cell in make_plan(settings).cells[::10]:
        there, here = (timeless(each) for each in (folder.records[cell.id], run_cell(cell)))
        measured = there.pop("measures"), here.pop("measures")
        for name in ENERGIES:  # stacked, they are rounded a little otherwise
            mine, alone = (each.pop(name) for each in measured)
            assert mine == pytest.approx(alone, rel=1e-4)
        assert measured[0] == measured[1]
        assert there == here


def test_it_goes_on_where_it_stopped(tmp_path):
    """In float64: what is left is stacked otherwise, which moves the last digits in float32."""
    double = Named(name="stacked_cells:Double", options={"steps": 20})
    settings = config(rows=(), task=double)
    path = run_benchmark(settings, tmp_path, workers=1, progress=False)
    before = json.loads(path.read_text())
    cells = tmp_path / "cells.jsonl"
    lines = cells.read_text().splitlines(keepends=True)
    cells.write_text("".join(lines[:5]) + lines[5][:40])
    run_benchmark(settings, tmp_path, workers=1, progress=False)
    assert len(read(cells)) == len(lines)
    assert cells.read_text().startswith("".join(lines[:5]))
    after = json.loads(path.read_text())
    assert without_times(after) == without_times(before)


def test_more_seeds_run_only_what_is_new(tmp_path):
    run_benchmark(config(rows=()), tmp_path, workers=1, progress=False)
    old = (tmp_path / "cells.jsonl").read_text()
    run_benchmark(config(rows=(), seeds=3), tmp_path, workers=1, progress=False)
    new = (tmp_path / "cells.jsonl").read_text()
    assert new.startswith(old)
    assert new.count("\n") == old.count("\n") * 3 / 2


def test_a_failing_cell_is_reported_and_not_fatal(tmp_path, capsys):
    settings = config(task=Named(name="test_benchmark:HalfBroken"), rows=(), seeds=1)
    path = run_benchmark(settings, tmp_path, workers=1, progress=False)
    data = json.loads(path.read_text())
    assert (data["counts"]["fine_tunes"], data["counts"]["planned"]) == (4, 8)
    assert data["failures"][0]["error"] == "OSError: no such data"
    assert data["rows"][0]["default"]["scores"]["target_accuracy"]["runs"] == 1
    assert "no such data" in capsys.readouterr().err
    # Failed cells are tried again.
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == 8
    run_benchmark(settings, tmp_path, workers=1, progress=False)
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == 12


def test_a_benchmark_where_everything_fails_says_why(tmp_path):
    settings = config(task=Named(name="test_benchmark:Unusable"), rows=(), seeds=1)
    with pytest.raises(RuntimeError, match=r"every fine-tune failed; the first: .*no head"):
        run_benchmark(settings, tmp_path, workers=1, progress=False)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stop_keeps_what_is_finished_and_leaves_no_process(how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from pathlib import Path
            from benchmark_cases import config
            from l2o.configs.schema import FineTuning
            from l2o.benchmarks import run_benchmark
            if __name__ == "__main__":
                settings = config(seeds=200, finetuning=FineTuning(steps=200))
                run_benchmark(settings, Path({str(tmp_path / "out")!r}), workers=2)
            """
        )
    )
    with (tmp_path / "messages").open("w") as messages:
        run = subprocess.Popen([sys.executable, script], stderr=messages)
    cells = tmp_path / "out" / "cells.jsonl"
    wait_for(lambda: cells.exists() and cells.read_text().count("\n") > 2, alive=run)
    children = psutil.Process(run.pid).children(recursive=True)
    assert len(children) >= 2
    run.send_signal(how)
    assert run.wait(timeout=20) != 0
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in (tmp_path / "messages").read_text()
    lines = cells.read_text().splitlines()
    assert len(read(cells)) >= len(lines) - 1


def timeless(record):
    return record.model_dump() | {"seconds": 0}


def wait_for(condition, alive):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert alive.poll() is None
        time.sleep(0.05)


def without_times(data):
    # The seal covers the seconds.
    kept = {key: value for key, value in data.items() if key not in ("seconds", "sha256")}
    for row in kept["rows"]:
        for block in (row, *row["by_factor"]):
            block.pop("seconds_each", None)
    return kept


class HalfBroken(TinyFamily):
    def sample(self, seed):
        if seed > 0:
            raise OSError("no such data")
        return super().sample(seed)


class Unusable(TinyFamily):
    def sample(self, seed):
        return replace(super().sample(seed), build_model=no_model)


def no_model():
    raise AttributeError("no head")
