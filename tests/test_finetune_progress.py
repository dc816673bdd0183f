"""What a fine-tune tells of itself while it runs."""

import json

import pytest
from tiny import TinyFamily

from l2o.configs.finetune import FinetuneConfig
from l2o.files.atomic import DamagedFileError
from l2o.service.finetuning.progress import MOST_ROWS, Progress, read_progress
from l2o.service.finetuning.run import run_finetune

CHOICE = {"schedule": "cosine", "profile": "small_backbone"}


def run(out, **fields):
    task = {"name": f"tiny:{TinyFamily.__name__}"}
    config = FinetuneConfig.model_validate(
        {"task": task, "finetuning": {"interval": 5}, "choice": CHOICE, "base_lr": 0.1} | fields
    )
    return json.loads(run_finetune(config, out, resume=True).read_text())


def test_rows_have_losses_rates_by_layer_and_scores(tmp_path):
    results = run(tmp_path)
    rows = read_progress(tmp_path)
    trained = [row for row in rows if "train/loss" in row]
    assert [row["step"] for row in trained][-1] == rows[-1]["total"] == results["steps"]
    first = trained[0]
    # Cosine over the run with a tenth on the backbone: what was in force, not the base rate.
    assert first["lr/first"] == pytest.approx(0.1 * first["lr/head"], rel=1e-6)
    assert trained[-1]["lr/head"] < first["lr/head"] <= 0.1
    scored = [row for row in rows if "target_test/accuracy" in row]
    last = scored[-1]["target_test/accuracy"]
    assert last == pytest.approx(results["scores"]["target_test"]["accuracy"])


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    log = Progress(tmp_path, total=100)
    for step in (10, 20, 30):
        log.log(step, 1.0, {"train/loss": float(step)})
    (tmp_path / "metrics.jsonl").open("a").write('{"step":40,"to')
    log = Progress(tmp_path, total=100)
    log.go_on(20)
    log.log(30, 1.5, {"train/loss": 1.0})
    assert [row["step"] for row in read_progress(tmp_path)] == [10, 20, 30]
    assert read_progress(tmp_path)[-1]["train/loss"] == 1.0


def test_a_torn_row_alone_is_cut_off(tmp_path):
    log = Progress(tmp_path, total=100)
    log.log(10, 1.0, {"train/loss": 1.0})
    (tmp_path / "metrics.jsonl").open("a").write('{"step":40,"to')
    log.go_on(10)
    log.log(20, 1.5, {"train/loss": float("nan")})
    assert [row["step"] for row in read_progress(tmp_path)] == [10, 20]
    assert read_progress(tmp_path)[-1]["train/loss"] is None


def test_long_runs_write_few_rows(tmp_path):
    log = Progress(tmp_path, total=50_000)
    for step in range(10, 50_001, 10):
        log.log(step, 1.0, {"train/loss": 1.0})
    assert MOST_ROWS / 2 <= len(read_progress(tmp_path)) <= MOST_ROWS


def test_a_damaged_row_is_named(tmp_path):
    log = Progress(tmp_path, total=100)
    log.log(10, 1.0, {"train/loss": 1.0})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step":10', '"step":11') + "{}\n")
    with pytest.raises(DamagedFileError, match="line 1"):
        Progress(tmp_path, total=100).go_on(10)


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path):
    log = Progress(None, total=100)
    log.go_on(10)
    log.log(10, 1.0, {"train/loss": 1.0})
    assert not list(tmp_path.iterdir())
