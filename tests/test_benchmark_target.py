"""Energies and class accuracies in a benchmark's records and results."""

import json

import pytest
import torch

from l2o.benchmarks import run_benchmark
from l2o.benchmarks.cells.target_measures import (
    ENERGIES,
    class_accuracies,
    target_measures,
)
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, Row
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.measures import Outputs, hyperspherical_energy, joined


def test_record():
    features = torch.randn(6, 2, 2, 2)
    outputs = Outputs(
        logits=torch.eye(3).repeat(2, 1), labels=torch.tensor([0, 1, 0] * 2), features=features
    )
    record = target_measures(outputs)
    assert class_accuracies(outputs) == (0.5, 1.0, None)
    for s, name in enumerate(ENERGIES):
        wanted = hyperspherical_energy(features.flatten(1), s)
        assert record[name] == pytest.approx(wanted, abs=1e-6)
    nothing = Outputs(
        logits=outputs.logits * torch.nan, labels=outputs.labels, features=features * torch.nan
    )
    lost = target_measures(nothing)
    assert class_accuracies(nothing) == (0.0, 0.0, None)
    assert lost["energy_1"] is None
    json.dumps(lost, allow_nan=False)


def test_results_hold_them(tmp_path):
    config = BenchmarkConfig(
        task=Named(name="tiny:TinyFamily"),
        tasks=1,
        seeds=2,
        finetuning=FineTuning(interval=5, guidance={}),
        rows=(
            Row(label="plain"),
            Row(label="held", guidance={"l2_sp": {"weight": 1.0}, "feature_l2": {"weight": 1.0}}),
        ),
        evaluations=2,
        bootstrap=50,
    )
    run_benchmark(config, tmp_path, workers=1, progress=False)
    results = json.loads((tmp_path / "results.json").read_text())
    records = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    by_id = {record["id"]: record for record in records}
    for row in results["rows"]:
        mine = [by_id[cell] for cell in row["cells"]]
        for name in ENERGIES:
            values = [record["measures"][name] for record in mine]
            assert row["default"]["scores"][name]["value"] == pytest.approx(
                sum(values) / 2, abs=1e-5
            )
        classes = row["class_accuracy"]
        assert len(classes) == 3
        for k, accuracy in enumerate(classes):
            wanted = sum(record["class_accuracy"][k] for record in mine) / 2
            assert accuracy == pytest.approx(wanted, abs=1e-5)
    # Against one fine-tune on its own.
    from tiny import TinyFamily

    from l2o.envs.policy_choice import build_policy

    task = TinyFamily().sample(0)
    run = FineTune(
        task, config.finetuning, policy=build_policy(config.rows[0], 5), base_lr=task.base_lr
    )
    run.advance(run.steps)
    first = min((by_id[c] for c in results["rows"][0]["cells"]), key=lambda record: record["seed"])
    energy = hyperspherical_energy(joined(run.outputs("target_test"), "features").features, 2)
    assert first["measures"]["energy_2"] == pytest.approx(energy, rel=1e-3)
