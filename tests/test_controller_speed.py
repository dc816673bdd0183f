"""The controller's speed benchmark: its arithmetic, its files; the times are not tested."""

import json
import math

import numpy as np
import pytest
import torch
from commands import run, succeed
from torch import nn

from l2o.benchmarks.speed import controller, footprint
from l2o.benchmarks.speed.large import RESNET, RESNET50, VIT, vision, vit
from l2o.benchmarks.speed.overhead import Setting, overhead
from l2o.benchmarks.speed.syncs import HostReads
from l2o.benchmarks.speed.training import Seconds, Training, Workload

TINY = Workload("tiny", lambda: vit(8, 4, width=8, depth=1, heads=2), 2, 8)


def test_measures_and_writes(monkeypatch, tmp_path):
    monkeypatch.setattr(controller, "RESNET", TINY)
    monkeypatch.setattr(controller, "GROUPS", (3, 32))
    monkeypatch.setattr(controller, "_IMPORTS", {"import json": "import json"})
    path = tmp_path / "controller.json"
    printed = succeed("speed", "controller", "--quick", "--rounds", 3, "--json", path)
    assert "Added to a step" in printed
    results = json.loads(path.read_text())
    cells = {(row["optimizer"], row["mode"], row["interval"]) for row in results["rows"]}
    assert len(cells) == len(results["rows"]) == 2 * 2 * 3
    assert [row["groups"] for row in results["decisions"]] == [3, 32]
    assert [row["per_step"] for row in results["host_reads"]] == [0, 0]
    assert results["imports_ms"]["import json"] > 0
    assert len(results["figures"]) == 3
    assert all(row["holds"] in (True, False) for row in results["figures"])
    assert results["machine"]["threads_per_process"] == 1
    assert results["benchmark"] == "controller"
    assert results["rounds"] == 3
    assert results["seeds"]
    assert "| tiny | SGD | `groups` | 10 |" in succeed("speed", "page", path)


def test_the_footprint_of_large_models_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(footprint, "LARGE", {"tiny": TINY})
    path = tmp_path / "footprint.json"
    succeed("speed", "footprint", "--models", "tiny", "--rounds", 3, "--json", path)
    results = json.loads(path.read_text())
    assert [row["mode"] for row in results["memory"]] == ["groups", "update_scale"]
    plain, scaled = results["memory"]
    assert plain["copy_per_weight"] == 0.0 < scaled["copy_per_weight"] <= 1.0
    assert plain["per_weight"] >= 2.0  # small models are read whole
    # Matrices in two bytes a number, vectors whole.
    assert 0.5 < plain["guard_per_weight"] == scaled["guard_per_weight"] < 1.0
    assert [(row["mode"], row["interval"]) for row in results["rows"]] == [
        (mode, interval) for mode in ("groups", "update_scale") for interval in (1, 10)
    ]
    assert all(row["ratio"] > 0 and row["whole_ratio"] > 0 for row in results["rows"])
    assert len(results["figures"]) == 7
    values = {row["figure"]: row["value"] for row in results["figures"]}
    held = plain["per_weight"] - plain["guard_per_weight"]
    name = "groups: memory held over the weights, beyond the guard's copy"
    assert values[name] == pytest.approx(held, abs=1e-3)
    both = scaled["copy_per_weight"] + scaled["guard_per_weight"]
    name = "update_scale: memory held over the weights, beyond the guard's copy and its own"
    assert values[name] == pytest.approx(scaled["per_weight"] - both, abs=1e-3)
    assert values["the guard's copy over the weights"] == round(plain["guard_per_weight"], 3)
    assert "| tiny | `groups` |" in succeed("speed", "page", path)
    ended = run("speed", "footprint", "--models", "tine")
    assert ended.exit_code == 2
    assert "tiny" in ended.stderr


def test_overhead_is_of_both_kinds_of_steps():
    """A quiet step adds 1 ms to one of 100 ms, one that decides 5 ms; and one round is slow."""
    bare = [[Seconds(0.100, 0.010), Seconds(0.100, 0.010)]] * 9
    mine = [[Seconds(0.101, 0.011), Seconds(0.105, 0.015)]] * 8 + [[Seconds(3.0, 2.0)] * 2]
    for interval, percent in ((1, 5.0), (10, 1.4), (50, 1.08)):
        setting = Setting(model="tiny", optimizer="SGD", mode="groups", interval=interval)
        found = overhead(setting, bare, mine)
        assert found.percent == pytest.approx(percent)
        assert found.whole_percent == pytest.approx(percent)
        low, high = found.percent_interval
        assert low <= found.percent <= high
    assert found.step_ms == pytest.approx(100.0)
    assert found.quiet_ms == pytest.approx(1.0)
    assert found.deciding_ms == pytest.approx(5.0)


def test_networks_have_the_sizes_that_they_are_named_for():
    def millions(workload):
        with torch.device("meta"):
            return sum(p.numel() for p in workload.model().parameters()) / 1e6

    assert [round(millions(w), 1) for w in (RESNET, VIT, RESNET50)] == [11.7, 21.8, 25.6]
    with torch.device("meta"):
        assert vision("resnet50", num_classes=7)(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_with_and_without_a_controller_at_ones_the_training_is_the_same():
    bare = Training(TINY, "AdamW, fused", torch.device("cpu"))
    mine = Training(TINY, "AdamW, fused", torch.device("cpu"), "update_scale", 100)
    mine.controller.policy = None
    mine.controller.set_multipliers(torch.ones(len(mine.controller.groups)))
    for training in (bare, mine):
        for _ in range(3):
            seconds = training.step()
            assert 0 < seconds.part < seconds.whole
    for a, b in zip(bare.model.parameters(), mine.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_held_bytes_counts_each_memory_once():
    class Owner:
        def __init__(self):
            self.tensor = torch.zeros(10)
            self.views = [self.tensor[:3], self.tensor.view(2, 5)]
            self.array = np.zeros(4)
            self.shared = {"again": self.array[1:], "as tensor": torch.from_numpy(self.array)}
            self.theirs = torch.zeros(100)
            self.module = nn.Linear(50, 50)
            self.itself = self

    owner = Owner()
    theirs = {owner.theirs.untyped_storage().data_ptr()}
    assert footprint.held_bytes(owner, theirs) == 40 + 32


def test_host_reads_are_counted():
    value = torch.tensor(2.0)
    with HostReads() as reads:
        float(value + 1.0)
        bool(value > 0)
        math.sqrt(value)
    assert reads.total == 3
    with HostReads() as none:
        torch.add(value, 1.0).clone().copy_(value)
    assert none.counts == {}
