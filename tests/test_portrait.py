"""Portraits of policies: what is drawn, what is permuted, and that runs differ by just that."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import run, succeed
from PIL import Image
from tiny import TinyNetwork

import l2o
from l2o.benchmarks.cells.record import LearningRates
from l2o.benchmarks.studies.portrait.base_lr import draw_base_lr, leftover
from l2o.benchmarks.studies.portrait.drawing import HEAD, draw_multipliers
from l2o.benchmarks.studies.portrait.importance import training_config
from l2o.benchmarks.studies.portrait.permutation import LAYER, Variant, list_variants, permute
from l2o.benchmarks.studies.portrait.player import Player
from l2o.benchmarks.studies.portrait.spike import Change, describe_spike
from l2o.benchmarks.studies.portrait.trace import (
    Losses,
    ShownTask,
    Spike,
    Trace,
    choose_tasks,
    record_trace,
)
from l2o.configs.schema import FineTuning, Named, TrainConfig
from l2o.deciding.policy import Policy
from l2o.envs.build import build
from l2o.envs.tasks import TASKS
from l2o.policies.common.evaluation import _run_drawn, evaluation_task
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS

TINY = Named(name="tiny:TinyFamily", options={"split": "heldout"})
SHOWN = ShownTask("tiny", TINY, 0, FineTuning(interval=5))
FEW = ("present", "is_head", "loss", "has_loss", "update_norm")


class Corrects(Policy):
    """Makes the head's rate 0.1 and the backbone's 0.01, whatever the base LR."""

    signals = l2o.SignalSpec(("present", "is_head", "base_lr"))

    def __call__(self, observation, state):
        # The last signal is log10(base LR) / 4.
        return 0.01 * 10 ** (observation[:, 1] - 4 * observation[:, 2]), state


class Constant(Policy):
    def __call__(self, observation, state):
        return torch.ones(len(observation)), state


def made_up(factor=1.0, multipliers=((0.1, 0.01, 1.0), (0.0, 1.0, 10.0))):
    return Trace(
        family="tiny",
        task_seed=0,
        network="TinyNetwork",
        base_lr_factor=factor,
        steps=20,
        target_accuracy=0.614,
        diverged=False,
        loss=Losses([10, 20], [2.0, 1.0]),
        heads=[False, False, True],
        learning_rates=LearningRates(
            step=(0, 10),
            groups=("first", "second", "head"),
            multipliers=multipliers,
            base_lr=0.05 * factor,
        ),
    )


# --- fine-tunes and pictures


def test_a_spike_is_noise_of_the_stated_size_and_leaves_all_before_it_as_it_was():
    model, size = TinyNetwork(), 0.5
    before = [p.detach().clone() for p in model.parameters()]
    Spike(size=size).disturb(model)
    weights = [(b, p.detach() - b) for b, p in zip(before, model.parameters()) if b.dim() > 1]
    for was, noise in weights:
        expected = size * was.square().mean().sqrt()
        assert noise.square().mean().sqrt() == pytest.approx(float(expected), rel=0.35)
    plain = record_trace(SHOWN, Corrects())
    spiked = record_trace(SHOWN, Corrects(), spike=Spike(size=3.0))
    assert plain.loss.step == [5, 10, 15, 20]
    assert plain.learning_rates.step == (0, 5, 10, 15)
    assert spiked.spike.step == 10
    assert spiked.loss.value[:2] == plain.loss.value[:2]
    assert spiked.loss.value[2] > plain.loss.value[2]
    told = describe_spike(plain, spiked)
    assert (told.loss_before, told.loss_after) == tuple(spiked.loss.value[1:3])
    # A policy that looks at the base LR only does not care.
    assert told.log10_change == {k: Change(first=0.0, mean=0.0) for k in ("head", "backbone")}


def test_spike_figures_by_hand():
    steps = [5, 10, 15, 20]
    plain = replace(made_up(), loss=Losses(steps, [2.0, 1.0, 1.0, 1.0]))
    changed = made_up(multipliers=((0.1, 0.01, 1.0), (0.0, 0.1, 1.0)))
    changed = replace(changed, loss=Losses(steps, [2.0, 1.0, 9.0, 1.05]), spike=Spike(step=5))
    told = describe_spike(plain, changed)
    assert told.recovered_after == 5
    assert told.log10_change["head"] == Change(first=-1.0, mean=-1.0)
    assert told.log10_change["backbone"] == Change(first=-1.0, mean=-1.0)
    changed = replace(changed, loss=Losses(steps, [2.0, 9.0, 9.0, None]))
    assert describe_spike(plain, changed).recovered_after is None


def test_what_is_left_of_a_wrong_base_lr_is_nothing_or_all_of_it():
    for policy, left in ((Corrects(), 0.0), (Constant(), 2.0)):
        right = record_trace(SHOWN, policy)
        wrong = record_trace(SHOWN, policy, base_lr_factor=0.01)
        assert leftover(wrong, right) == pytest.approx(left, abs=1e-3)
        assert leftover(right, right) == 0.0


def test_frozen_layers_are_gaps_and_means_are_over_the_others():
    logs = made_up().logs
    assert np.isnan(logs[1, 0])
    assert made_up().parts(logs)["backbone"] == pytest.approx([-1.5, 0.0])
    assert made_up().parts(logs)["head"] == pytest.approx([0.0, 1.0])


def test_figures_have_a_panel_per_task_the_accuracies_and_the_head_in_its_colour():
    figure = draw_multipliers([made_up()] * 7)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 7
    assert shown[0].get_title() == "tiny 0: TinyNetwork\n61.4 %"
    head = next(line for line in shown[0].get_lines() if line.get_color() == HEAD)
    # Two decisions, the last one held to the end.
    assert head.get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert head.get_ydata() == pytest.approx([1.0, 10.0, 10.0])
    runs = [made_up(factor) for factor in (0.01, 1.0, 100.0)]
    rates = draw_base_lr([runs, runs])
    assert len(rates.axes) == 4
    assert rates.axes[0].get_title().endswith("61.4 / 61.4 / 61.4 %")
    right = next(x for x in rates.axes[0].get_lines() if x.get_label() == "base LR × 1")
    assert right.get_ydata() == pytest.approx([0.05, 0.5, 0.5])


def test_tasks_are_taken_from_the_families_in_turn():
    families = ["{name: 'tiny:TinyFamily', options: {split: heldout}}"] * 2
    overrides = [f"families.{n}.task={f}" for n, f in zip(("digits", "adamw"), families)]
    overrides += [f"families.{n}=null" for n in ("architecture", "optimizer", "data")]
    overrides += ["families.adamw.base_lr=null"]
    shown = choose_tasks("zero-shot", overrides, 3, steps=7)
    assert [(s.family, s.task_seed) for s in shown] == [("digits", 0), ("adamw", 0), ("digits", 1)]
    assert [s.finetuning.optimizer.name for s in shown] == ["sgd", "adamw", "sgd"]
    assert {s.finetuning.steps for s in shown} == {7}


# --- permutations


def seen(runs=5, rows=4, features=5):
    return torch.arange(runs * rows * features, dtype=torch.float32).view(runs, rows, features)


def test_a_permutation_moves_just_its_columns_the_same_way_in_all_layers():
    spec, truth = l2o.SignalSpec(FEW), seen()
    variant = Variant("loss", ("loss", "has_loss"))
    running = np.array([0, 1, 3, 4])
    shown = permute(truth, variant, spec, [4] * 5, running, np.random.default_rng(0))
    assert torch.equal(shown[..., [0, 1, 4]], truth[..., [0, 1, 4]])
    assert torch.equal(shown[2], truth[2])
    # 20 numbers a fine-tune: which one each row's numbers are from.
    donors = ((shown[..., 2] - truth[0, :, 2]) / 20).long()
    assert (donors == donors[:, :1]).all()
    assert sorted(donors[:, 0].tolist()) == [0, 1, 2, 3, 4]
    assert donors[:, 0].tolist() != [0, 1, 2, 3, 4]
    assert torch.equal(shown[..., 3] - truth[..., 3], shown[..., 2] - truth[..., 2])


def test_heads_take_from_heads_where_networks_differ_in_depth():
    spec, truth = l2o.SignalSpec(FEW), seen(runs=2, rows=5)
    variant, running = Variant("loss", ("loss",)), np.arange(2)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        shown = permute(truth, variant, spec, [4, 2], running, generator, guidance=1)
        if not torch.equal(shown, truth):
            break
    # Of four layers and a guidance row, and of two layers and one.
    assert torch.equal(shown[0, :, 2], truth[1, [0, 0, 1, 1, 2], 2])
    assert torch.equal(shown[1, :3, 2], truth[0, [0, 3, 4], 2])


def test_layer_signals_move_within_a_network():
    spec, truth = l2o.SignalSpec(FEW), seen(runs=2, rows=4)
    variant = Variant("is_head", ("is_head",), among_layers=True)
    shown = permute(truth, variant, spec, [3, 3], np.arange(2), np.random.default_rng(0))
    assert torch.equal(shown[:, 3], truth[:, 3])
    assert torch.equal(shown[:, :3, 1].sort(dim=1).values, truth[:, :3, 1])
    assert not torch.equal(shown, truth)


def test_variants_are_those_of_the_policys_own_signals():
    found = {v.name: v for v in list_variants(l2o.SignalSpec(FEW))}
    assert found["loss (all)"].signals == ("loss", "has_loss")
    assert set(found) == {
        *("loss (all)", "all but layer signals", "is_head", "loss", "has_loss", "update_norm"),
    }
    every = l2o.SignalSpec((*DEFAULT_SIGNALS, *KIND_SIGNALS))
    everything = list_variants(every)
    assert {s for v in everything for s in v.signals} == set(every.names) - {"present"}
    assert [v.name for v in everything if v.among_layers] == ["layer (all)", *LAYER]


# --- importance


def config(**changes):
    data = {
        "task": {"name": "tiny:TinyFamily", "options": {"steps": 15}},
        "finetuning": {"interval": 5},
        "environment": {"base_lr": [0.01, 1.0]},
    }
    return TrainConfig.model_validate({**data, **changes})


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of an untrained policy that looks at few signals."""
    torch.manual_seed(0)
    spec = l2o.SignalSpec(FEW)
    network = l2o.LayerPolicyNetwork(len(FEW), 1, hidden=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    about = {"name": "few", "config": config().model_dump(mode="json")}
    return l2o.save_policy(
        tmp_path / "few", l2o.LearnedPolicy(network, l2o.LogRange(), spec), about
    )


def test_episodes_are_those_of_the_drawn_evaluation_but_for_their_tasks(bundle):
    # Small rates: rounding does not grow.
    settings = config(environment={"base_lr": [1e-3, 1e-2], "signal_dropout": 0.5, "signals": FEW})
    policy = l2o.load_policy(bundle)
    player = Player(settings, policy, count=4, seed=0)
    starts = player._starts
    # No tasks that training may draw, nor those that the evaluation chose the policy on.
    assert all(start.task.seed > 2**31 + 4 for start in starts.values())
    assert len({start.base_lr for start in starts.values()}) == 4
    family = build("task", TASKS, evaluation_task(settings))
    for number, start in starts.items():
        starts[number] = replace(start, task=family.sample(2**31 + number))
    given = (settings, evaluation_task(settings), policy)
    one_by_one = [_run_drawn((*given, number)).accuracy for number in range(4)]
    outcome = player.play()
    assert len(set(one_by_one)) > 1
    assert outcome.accuracy == pytest.approx(one_by_one, abs=1e-6)
    assert outcome.change.tolist() == [0.0] * 4


def test_permuting_what_a_policy_looks_at_changes_its_decisions_and_nothing_else_does(bundle):
    player = Player(config(), l2o.load_policy(bundle), count=4, seed=0)
    plain = player.play()
    nothing = player.play(Variant("present", ("present",)))
    assert nothing.change.tolist() == [0.0] * 4
    assert nothing.accuracy.tolist() == plain.accuracy.tolist()
    assert (player.play(Variant("update_norm", ("update_norm",))).change > 0).any()


def test_held_out_tasks_are_refused(bundle):
    heldout = {"name": "tiny:TinyFamily", "options": {"split": "heldout"}}
    with pytest.raises(ValueError, match=r"heldout.*task.options.split=train"):
        Player(config(task=heldout), l2o.load_policy(bundle), 2, 0)


def change_card(card, **fields):
    """Change a card as one does by hand: without its seal."""
    data = json.loads(card.read_text()) | fields
    del data["card_sha256"]
    card.write_text(json.dumps(data))


def test_a_card_that_does_not_tell_the_training_needs_a_config(bundle):
    assert training_config(str(bundle), None, ["seed=7"]).seed == 7
    card = bundle / "card.json"
    change_card(card, config=None)
    with pytest.raises(ValueError, match="--config"):
        training_config(str(bundle))
    assert training_config(str(bundle), "demo").name == "demo"


# --- from end to end


def test_commands_write_pictures_table_and_one_file_of_numbers(bundle, tmp_path):
    out, benchmark = tmp_path / "out", tmp_path / "own.yaml"
    benchmark.write_text("task: {name: 'tiny:TinyFamily', options: {split: heldout}}")
    common = [bundle, "--out", out]
    tasks = ["--config", benchmark, "--quick", "finetuning.interval=5"]
    printed = succeed("study", "portrait", *common, *tasks)
    assert printed.split() == [str(out / f"{n}.png") for n in ("multipliers", "base_lr", "spike")]
    table = succeed("study", "importance", *common, "--fine-tunes", 3, "--resamples", 50)
    for name in ("multipliers", "base_lr", "spike", "importance"):
        with Image.open(out / f"{name}.png") as picture:
            assert picture.width > 300
    data = json.loads((out / "results.json").read_text())
    assert (data["kind"], data["policy"]) == ("portrait", str(bundle))
    assert [len(data[key]["fine_tunes"]) for key in ("multipliers", "base_lr", "spike")] == [
        2,
        6,
        2,
    ]
    assert data["multipliers"]["overrides"] == ["finetuning.interval=5"]
    rows = data["importance"]["rows"]
    assert data["importance"]["fine_tunes"] == 3
    assert data["importance"]["split"] == "train"
    losses = [row["loss"]["value"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    for row in rows:
        gap = data["importance"]["accuracy"] - row["accuracy"]
        assert row["loss"]["value"] == pytest.approx(gap, abs=2e-6)
        assert row["loss"]["low"] <= row["loss"]["value"] <= row["loss"]["high"]
    assert f"without permutation {100 * data['importance']['accuracy']:.1f} %" in " ".join(
        table.split()
    )
    lines = (out / "importance.md").read_text().splitlines()
    assert len(lines) == 2 + len(rows) + 2
    for row, line in zip(rows, lines[2:]):
        assert row["name"] in table
        assert row["name"] in line
    # Another policy's numbers do not mix with these.
    card = bundle / "card.json"
    change_card(card, interval=7)
    succeed("study", "importance", *common, "--quick")
    assert "spike" not in json.loads((out / "results.json").read_text())


def test_a_picture_alone_joins_the_others(bundle, tmp_path):
    benchmark = tmp_path / "own.yaml"
    benchmark.write_text("task: {name: 'tiny:TinyFamily', options: {split: heldout}}")
    out, shared = tmp_path / "out", [bundle, "--config", benchmark, "--quick"]
    succeed("study", "spike", *shared, "--out", out)
    spike = json.loads((out / "results.json").read_text())["spike"]
    succeed("study", "base-lr", *shared, "--out", out)
    data = json.loads((out / "results.json").read_text())
    assert data["spike"] == spike
    assert len(data["base_lr"]["tasks"]) == 2
    assert "multipliers" not in data


def test_unknown_arguments_are_refused():
    ended = run("study", "portrait", "asg-base", "--out", "x", "--taskz", "3")
    assert ended.exit_code == 2
    assert "--taskz" in ended.stderr


def test_more_tasks_in_later_pictures_than_in_the_first_are_refused():
    ended = run("study", "portrait", "asg-base", "--out", "x", "--tasks", "2", "--few", "3")
    assert ended.exit_code == 2
    assert "--few must be between 1 and --tasks=2, got 3" in ended.stderr
