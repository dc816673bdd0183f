"""A second stage: rounds, joint steps, resumed to the same bits, and what may go wrong."""

import copy
import csv
import json
from dataclasses import replace

import pytest
import torch
from tiny import TinyFamily, blobs

from l2o.adaptation import ADAPTATION, IGNORED, Side
from l2o.configs.adaptation import Adaptation
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.schema import BenchmarkConfig, FineTuning, Named, PolicyChoice, Row
from l2o.envs.fine_tuning.adapting.build import add_stage
from l2o.envs.fine_tuning.adapting.rounds import select
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.policy_choice import build_policy
from l2o.envs.tasks.base import TargetImages

CHOICE = PolicyChoice(schedule="cosine")
LOOP = FineTuning(steps=10, interval=4)


def tiny_task(seed=0):
    target = blobs(40, seed + 9, 0.4)
    return replace(
        TinyFamily(steps=10).sample(seed), target_train=TargetImages(target, target, True)
    )


def two_stages(method, task=None, **fields):
    source = FineTune(
        task or tiny_task(),
        LOOP,
        policy=build_policy(CHOICE, 4, (0, 1)),
        base_lr=0.05,
        seed=1,
        guard=None,
    )
    config = Adaptation(method=method, **{"rounds": 2, "steps": 7, **fields})
    return add_stage(source, config, finetuning=LOOP, choice=CHOICE, base_lr=0.05, run=(0, 1))


def finished(run, stop=None, taken=None):
    while not run.done and (stop is None or run.step < stop):
        run.advance(min(run.window, taken or run.window))
    return run


def weights(run):
    return torch.cat([t.flatten() for t in run.model.state_dict().values()])


@pytest.mark.parametrize("stop", [6, 10, 13, 21])
@pytest.mark.parametrize("method", ["lrent", "drst", "mcd"])
def test_stopped_in_any_stage_and_resumed_ends_in_the_same_bits(method, stop):
    whole = finished(two_stages(method, teacher=0.9), taken=1)
    begun = finished(two_stages(method, teacher=0.9), stop, taken=1)
    assert begun.step == stop
    state = copy.deepcopy(begun.state_dict())
    resumed = two_stages(method, teacher=0.9)
    resumed.load_state_dict(state)
    finished(resumed, taken=3)
    assert resumed.step == whole.step == 24
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("method", ADAPTATION)
def test_the_controller_drives_every_method(method):
    named = {"name": method, "options": {"threshold": 0.4} if method == "threshold" else {}}
    run = finished(two_stages(named))
    assert run.done
    assert not run.diverged
    assert run.second.controller.history, "the second stage has decisions of its own"
    steps = [step for step, _ in run.history()]
    assert steps == sorted(steps)
    assert steps[-1] >= 10
    # Cosine: the first decision of the second stage begins again at 1.
    begun = next(of for step, of in run.history() if step == 10)
    assert begun == pytest.approx([1.0] * len(begun))
    scores = run.label_free_scores()
    assert set(scores) == {"entropy", "information", "snd", "dev"}


def test_a_round_in_which_nothing_is_selected_is_passed_over_and_said(caplog):
    run = two_stages({"name": "threshold", "options": {"threshold": 1.0}})
    before = weights(finished(run, 10))
    finished(run)
    assert "is passed over: none of 40 images" in caplog.text
    assert torch.equal(weights(run), before)
    assert [each["labelled_images"] for each in run.rounds] == [0, 0]


def test_labels_of_the_target_are_never_looked_at():
    task = tiny_task()
    images = task.target_train.still.images
    wrong = type(task.target_train.still)(images, torch.full((40,), 99))
    blind = replace(task, target_train=TargetImages(wrong, wrong))
    for method in ("cbst", "mmd"):
        assert torch.equal(
            weights(finished(two_stages(method, task))),
            weights(finished(two_stages(method, blind))),
        )


def test_settings_of_the_second_stage_are_its_own():
    run = two_stages("cbst", base_lr=0.1, base_lr_schedule="linear", optimizer="adamw", guidance={})
    finished(run)
    assert run.factor(9) == 1.0
    assert run.factor(10) == 2.0
    assert run.factor(17) == pytest.approx(1.0)
    assert type(run.second.optimizer).__name__ == "AdamW"
    assert not run.second.guidance
    assert run.source.guidance
    sizes = [run.second.settings.sizes(0, n) for n in (1, 2, 32)]
    assert sizes == [(1, 1), (1, 1), (16, 16)]


def test_phases_train_what_they_say():
    run = two_stages("mcd")
    finished(run, 10)
    head = list(run.model.get_classifier().parameters())
    body = [p for n, p in run.model.named_parameters() if not n.startswith("head")]
    for moved_head, moved_body in [(True, True), (True, False), (False, True), (False, True)]:
        before = [[p.detach().clone() for p in of] for of in (head, body)]
        run.advance(1)
        for of, old, moved in zip((head, body), before, (moved_head, moved_body), strict=True):
            assert any(not torch.equal(p, o) for p, o in zip(of, old, strict=True)) == moved


def test_odd_predictions_of_a_network():
    method = ADAPTATION["cbst"]()
    logits = torch.full((6, 3), -9.0)
    logits[:, 1] = 9.0  # one class always
    logits[5] = torch.nan
    found = select(method, 0, lambda: [Side(logits, logits)], 3)
    assert found.predictions.tolist()[1] == 5
    assert int(found.labels[5]) == IGNORED
    assert found.counts.sum(dim=0).tolist()[0] == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"method": "cbts"}, "Did you mean 'cbst'"),
        ({"method": {"name": "mrkld", "options": {"alhpa": 1}}}, "Did you mean 'alpha'"),
        ({"method": "cbst", "choice": {"schedule": "cosin"}}, "cosin"),
        ({"method": "cbst", "guidance": {"proxy": {}}}, "proxy_kl"),
    ],
)
def test_what_cannot_run_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        two_stages(**fields)


def test_a_task_without_unlabelled_images_is_refused():
    with pytest.raises(ValueError, match=r"task.options.unlabelled=0.5"):
        two_stages("cbst", TinyFamily(steps=10).sample(0))


def test_rows_have_stages_over_what_the_benchmark_says():
    config = BenchmarkConfig(
        adaptation={"rounds": 5, "guidance": {}},
        rows=(Row(label="a", adaptation={"method": "cbst", "rounds": 2}), Row(label="b")),
    )
    assert config.second_stage(config.rows[0]) == Adaptation(method="cbst", rounds=2, guidance={})
    assert config.second_stage(config.rows[1]) is None
    with pytest.raises(ValueError, match="method"):
        BenchmarkConfig(rows=(Row(label="a", adaptation={"rounds": 2}),))


# In a folder, and in a table -------------------------------------------------------------------


class Adapting(TinyFamily):
    """The tiny family, with images to adapt to."""

    def sample(self, seed):
        return tiny_task(seed)


TASK = Named(name="test_adaptation_stage:Adapting")


@pytest.fixture(scope="module")
def config():
    return FinetuneConfig(
        task=TASK,
        finetuning=LOOP,
        choice=CHOICE,
        adaptation=Adaptation(method="cbst", rounds=2, steps=6),
        evaluations=2,
        select="information",
        checkpoint_every=5,
    )


def test_finetune_is_killed_in_the_second_stage_and_goes_on(config, tmp_path, monkeypatch):
    from l2o.service.finetuning import run as module

    path = module.run_finetune(config, tmp_path / "whole")
    results = json.loads(path.read_text())
    told = results["adaptation"]
    assert told["labels_ignored"]
    assert [each["round"] for each in told["rounds"]] == [1, 2]
    assert {"last", "source_validation", "target (oracle)", "snd"} <= set(told["picked_by"])
    assert results["learning_rates"]["stages"] == {"source": 0, "adaptation": 10}
    with (tmp_path / "whole/pseudo_labels/round-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert sum(int(row["selected"]) for row in rows) == told["rounds"][0]["labelled_images"]
    assert all((row["label"] != "") == (row["selected"] == "1") for row in rows)

    calls = iter(range(100))

    def stop():
        if next(calls) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "check_interrupts", stop)
    with pytest.raises(KeyboardInterrupt):
        module.run_finetune(config, tmp_path / "killed")
    monkeypatch.undo()
    module.run_finetune(config, tmp_path / "killed", resume=True)
    again = json.loads((tmp_path / "killed/results.json").read_text())
    assert again["adaptation"] == told
    assert again["scores"] == results["scores"]
    assert (tmp_path / "killed/model.safetensors").read_bytes() == (
        tmp_path / "whole/model.safetensors"
    ).read_bytes()


def test_choosing_without_labels_needs_images(config, tmp_path):
    from l2o.service.finetuning.run import run_finetune

    blind = config.model_copy(update={"task": Named(name="tiny:TinyFamily"), "adaptation": None})
    with pytest.raises(ValueError, match="looks at unlabelled images"):
        run_finetune(blind, tmp_path)


def test_cells_share_their_first_stage(monkeypatch):
    from l2o.benchmarks.cells import two_stages as module
    from l2o.benchmarks.cells.cell import Cell, run_cell
    from l2o.benchmarks.comparisons.table.selection import LABEL_FREE, kept_score

    fields = {
        "task": TASK,
        "task_seed": 0,
        "seed": 0,
        "base_lr_factor": 1.0,
        "finetuning": LOOP,
        "choice": CHOICE,
        "evaluations": 2,
    }
    stage = Adaptation(method="mrkld", rounds=2, steps=6, base_lr=0.5)
    cell = Cell(adaptation=stage, **fields)
    assert cell.id != Cell(**fields).id
    first = run_cell(cell)
    assert first.error is None, first.traceback
    assert [point.step for point in first.curve] == [4, 10, 18, 22]
    assert first.rates.stages == {"source": 0, "adaptation": 10}
    again = run_cell(cell)
    module._HELD.clear()
    alone = run_cell(cell)
    for other in (again, alone):
        assert other.curve == first.curve
        assert other.learning_rates == first.learning_rates
    for rule in LABEL_FREE:
        assert 0.0 <= kept_score(first, rule) <= 1.0
