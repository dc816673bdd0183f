"""`l2o tune`: what is searched and refused, and that a search finds, stops, goes on."""

import copy
import json
import os
import sys

import pytest
import torch

from l2o.benchmarks.tuning.engines import SCHEDULERS, make_scheduler, make_searcher
from l2o.benchmarks.tuning.fine_tunes import FineTuneTrial
from l2o.benchmarks.tuning.kinds import searched
from l2o.benchmarks.tuning.run import check, run_search
from l2o.benchmarks.tuning.space import check_space, combinations
from l2o.benchmarks.tuning.trial import Plan, handed_state, reports
from l2o.configs.errors import ConfigError
from l2o.configs.load import check_config, load_config
from l2o.configs.tune import TuneConfig
from l2o.envs.runtime.executor.on_ray.cluster import NoClusterError
from l2o.extras import MissingExtraError

pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
pytestmark = pytest.mark.timeout(900)  # Ray takes long to start where others are at work

BASE = """
task: {name: "tiny:TinyFamily"}
finetuning: {steps: 30, interval: 5, guidance: {}}
choice: {schedule: constant}
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


def search_of(base, **fields):
    settings = {
        "config": str(base),
        "search": {"base_lr": {"loguniform": [1e-4, 0.5]}},
        "trials": 4,
        "reports": 3,
    }
    return check_config(TuneConfig, settings | fields, "a test")


# --- what is wrong is told before any trial


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"search": {"base_rl": {"choice": [1]}}}, "base_rl.*Did you mean base_lr"),
        ({"search": {"finetuning.intervall": {"choice": [1]}}}, "Did you mean finetuning.interval"),
        ({"search": {"base_lr": {"loguniform": [-1, 1]}}}, "loguniform needs a positive low end"),
        ({"search": {"base_lr": {"uniform": [1, 1]}}}, "low < high"),
        ({"search": {"base_lr": {"unifrom": [1, 2]}}}, "write one of choice, grid"),
        ({"search": {"base_lr": {"choice": []}}}, "takes a list"),
        ({"search": {"base_lr": {"choice": [0.1, "high"]}}}, "base_lr.*'high'"),
        ({"search": {"optimizer": {"choice": ["sgd", "adamm"]}}}, "Did you mean 'adam'"),
        ({"search": {"choice.schedule": {"choice": ["cosin"]}}}, "Did you mean 'cosine'"),
        ({"searcher": "grid"}, "searcher grid needs values, and base_lr has loguniform"),
        ({"scheduler": "ahsa"}, "Did you mean 'asha'"),
        ({"searcher": "optunna"}, "Did you mean 'optuna'"),
        ({"scheduler": {"name": "asha", "options": {"brakets": 1}}}, "scheduler 'asha' refuses"),
        ({"scheduler": "pbt", "search": {"optimizer": {"choice": ["sgd"]}}}, "cannot change there"),
        ({"metric": "acuracy"}, "Did you mean 'accuracy'"),
        ({"metric": "target_acuracy"}, "Did you mean 'accuracy'"),
        (
            {
                "of": "train",
                "config": "demo",
                "search": {"seed": {"choice": [1]}},
                "metric": "loss",
            },
            "unknown metric of a training",
        ),
        ({"changes": {"guadr": False}}, "Did you mean guard"),
    ],
)
def test_a_wrong_search_is_refused_before_any_trial(base, fields, message, tmp_path):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        run_search(search_of(base, **fields), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_without_ray_there_is_one_message(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'^l2o tune needs ray: pip install "l2o\[ray\]"'):
        check(search_of(base))


def test_a_cluster_that_does_not_answer_is_one_error(base, monkeypatch, tmp_path):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    config = search_of(base, ray={"address": "127.0.0.1:1", "timeout": 0.2})
    with pytest.raises(NoClusterError, match=r"ray.address=127.0.0.1:1: no Ray cluster answered"):
        run_search(config, tmp_path / "out", progress=False)


# --- what is searched for


@pytest.mark.parametrize(
    ("metric", "name", "mode"),
    [
        (None, "source_validation_accuracy", "max"),
        ("loss", "source_validation_loss", "min"),
        ("target_accuracy", "target_accuracy", "max"),
    ],
)
def test_the_metric_and_its_direction_are_the_objectives(base, metric, name, mode):
    config = search_of(base, metric=metric)
    of = searched(config, check_space(config))
    assert (of.metric, of.mode, of.length) == (name, mode, 30)


def test_fields_of_a_search_are_overridden_by_their_paths():
    domain = {"choice": ["sgd", "adamw"]}
    found = load_config(
        "tune",
        "digits",
        [
            "search.choice.schedule=null",
            "search.base_lr={choice: [0.1]}",
            "search.finetuning.guidance.proxy_kl.weight=null",
            "search.finetuning.optimizer.name={choice: [sgd, adamw]}",
        ],
    ).search
    assert set(found) == {"base_lr", "choice.profile", "finetuning.optimizer.name"}
    assert found["base_lr"] == {"choice": [0.1]}
    assert found["finetuning.optimizer.name"] == domain
    with pytest.raises(ValueError, match="base_lr: choice takes a list, got 3"):
        load_config("tune", "digits", ["search.base_lr={choice: 3}"])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_can_be_made(base, name):
    domain = {"uniform": [0.01, 0.1]}
    assert make_scheduler(search_of(base, scheduler=name, search={"base_lr": domain}), 30)


def test_searchers_by_name(base):
    for name in ("random", "optuna"):
        assert make_searcher(search_of(base, searcher=name))
    grid = {"base_lr": {"choice": [0.1, 0.2]}, "guard": {"choice": [True, False]}}
    assert len(list(combinations(search_of(base, searcher="grid", search=grid)))) == 4


def test_trials_at_once_are_bounded_where_none_waits_for_another(base):
    assert make_searcher(search_of(base, concurrent=2)).max_concurrent == 2
    assert make_searcher(search_of(base)).max_concurrent == 0
    assert make_searcher(search_of(base, concurrent=1, scheduler="pbt")).max_concurrent == 0


def test_presets_can_run():
    for name in ("digits", "layerwise", "policy"):
        check_space(load_config("tune", name))
    folder = load_config("tune", "folder")
    assert folder.searcher.name == "optuna"
    with pytest.raises(ConfigError, match="no tune preset named 'digit'"):
        load_config("tune", "digit")


# --- a trial is the fine-tune that l2o finetune runs, and takes over another one's state


def test_a_changed_trial_goes_on_with_its_own_rates(base):
    first = FineTuneTrial(load_config("finetune", base, ["base_lr=0.1"]), reports=3)
    steps = first.steps()
    next(steps)
    # As it comes from a file: what is live would change along.
    state = copy.deepcopy(first.state())
    second = FineTuneTrial(load_config("finetune", base, ["base_lr=0.02"]), reports=3)
    second.go_on(copy.deepcopy(state), changed=True)
    assert second.run.step == first.run.step == 10
    for one, other in zip(first.run.model.parameters(), second.run.model.parameters()):
        assert torch.equal(one, other)
    assert {group["lr"] for group in second.run.optimizer.param_groups} == {0.02}
    again = FineTuneTrial(load_config("finetune", base, ["base_lr=0.1"]), reports=3)
    again.go_on(copy.deepcopy(state), changed=False)
    assert list(again.steps()) == list(steps), "to the last bit"


def test_a_trial_killed_before_its_report_tells_it_later(base, tmp_path):
    config = search_of(base)
    plan = Plan(config, check_space(config), tmp_path, "source_validation_accuracy")
    make, folder = searched(config, plan.base).make, tmp_path / "trial"
    folder.mkdir()
    whole = list(reports(plan, make, {"base_lr": 0.1}, folder))
    lines = (folder / "reports.jsonl").read_text().splitlines(keepends=True)
    (folder / "reports.jsonl").write_text("".join(lines[:-1]))
    assert list(reports(plan, make, {"base_lr": 0.1}, folder)) == whole
    assert (folder / "reports.jsonl").read_text().splitlines(keepends=True) == lines


def test_a_report_told_again_hands_over_the_state_that_it_had(base, tmp_path):
    config = search_of(base)
    plan = Plan(config, check_space(config), tmp_path, "source_validation_accuracy", states=True)
    make, folder = searched(config, plan.base).make, tmp_path / "trial"
    folder.mkdir()
    whole = list(reports(plan, make, {"base_lr": 0.1}, folder))
    for told in reports(plan, make, {"base_lr": 0.1}, folder):
        (tmp_path / "state.pt").write_bytes(handed_state(folder, told))
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        assert state["iteration"] == told["step"]
    assert [told["step"] for told in whole] == [10, 20, 30]


# --- searches, on a cluster


def read(out):
    return json.loads((out / "results.json").read_text())


# Each trial is a process that loads torch, which takes long where others do, too.
@pytest.mark.timeout(900)
def test_a_search_finds_stops_and_goes_on(ray_cluster, base, tmp_path):
    """One that fails is in the table; a second run computes nothing twice."""
    domains = {
        "base_lr": {"choice": [0.1, 0.0001]},
        "choice.rule": {
            "choice": [None, {"name": "constant_layers", "options": {"multipliers": [1.0]}}]
        },
    }
    # By fifo: whom ASHA stops depends on who reports first.
    whole = {"searcher": "grid", "scheduler": "fifo", "concurrent": 1}
    config = search_of(base, search=domains, **whole)
    found = run_search(config, tmp_path / "out", progress=False)
    results = read(tmp_path / "out")
    failed = [each for each in results["trials"] if each["outcome"].startswith("ValueError")]
    assert len(results["trials"]) == 4
    assert len(failed) == 2
    assert "constant_layers has 1 multipliers" in failed[0]["outcome"]
    values = {each["trial"]: each["value"] for each in results["trials"] if each["value"]}
    assert results["best"]["value"] == max(values.values())
    best = load_config("finetune", tmp_path / "out" / "best.yaml")
    assert best.base_lr == results["best"]["params"]["base_lr"]
    trial = FineTuneTrial(best, reports=3)
    assert list(trial.steps())[-1]["source_validation_accuracy"] == results["best"]["value"]
    for name in ("report.html", "report.md", "config.yaml"):
        assert (tmp_path / "out" / name).exists()

    # As if it had been killed: one trial lacks its last report, the results are not there.
    (tmp_path / "out" / "results.json").unlink()
    reports = sorted((tmp_path / "out" / "trials").glob("*/reports.jsonl"))
    assert len(reports) == 2
    before = {path: path.stat().st_mtime_ns for path in reports[1:]}
    lines = reports[0].read_text().splitlines(keepends=True)
    reports[0].write_text("".join(lines[:-1]))
    again = run_search(config, tmp_path / "out", progress=False)
    assert again.steps == found.steps
    assert {path: path.stat().st_mtime_ns for path in reports[1:]} == before
    assert read(tmp_path / "out")["best"] == results["best"]
    assert [each["reports"] for each in read(tmp_path / "out")["trials"]] == [
        each["reports"] for each in results["trials"]
    ]


@pytest.mark.timeout(900)
def test_a_searcher_of_rays_tries_and_numbers(ray_cluster, base, tmp_path):
    """Its trials have ids of another kind than those that Ray Tune draws by itself."""
    domains = {"base_lr": {"loguniform": [0.001, 0.3]}}
    config = search_of(base, search=domains, searcher="optuna", trials=2, concurrent=1)
    run_search(config, tmp_path / "out", progress=False)
    trials = read(tmp_path / "out")["trials"]
    assert [each["trial"] for each in trials] == [0, 1]
    assert all(each["reports"] for each in trials)
    assert len({each["params"]["base_lr"] for each in trials}) == 2


@pytest.mark.timeout(900)
def test_a_population_copies_states_and_changes_values(ray_cluster, base, tmp_path):
    # In step, so that who takes over whose state does not depend on who is first.
    options = {"perturbation_interval": 20, "quantile_fraction": 0.5, "synch": True}
    config = search_of(
        base,
        changes={"finetuning.steps": 40},
        search={"base_lr": {"loguniform": [1e-5, 0.5]}},
        scheduler={"name": "pbt", "options": options},
        reports=2,
    )
    run_search(config, tmp_path / "out", progress=False)
    trials = read(tmp_path / "out")["trials"]
    assert len(trials) == 4
    assert all(each["step"] == 40 for each in trials)
    changed = [each for each in trials if each["changes"]]
    assert changed, "nobody took over another's state"
    for each in changed:
        assert [row["step"] for row in each["reports"]] == sorted(
            {row["step"] for row in each["reports"]}
        )
        assert each["params"] == each["changes"][-1]["params"]
    assert not [path for path in (tmp_path / "out" / "trials").rglob("*") if path.suffix == ".pkl"]
    assert os.environ.get("TUNE_DISABLE_SIGINT_HANDLER") is None


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ends", "reached"),
    [("fails", [20, 50, 50]), ("stops", [20, 50, 50]), ("never", [50, 50, 50])],
)
def test_a_population_does_not_wait_for_good(ray_cluster, tmp_path, ends, reached):
    """By Ray Tune's own class all would stay paused: for who has ended, or for what has passed."""
    at = {1: 20, 2: 30, 3: 50}  # reports that are no multiples of the interval

    def trial(given):
        import json
        import tempfile
        import time
        from pathlib import Path

        from ray import tune

        handed = tune.get_checkpoint()
        last = 0
        if handed is not None:
            with handed.as_directory() as name:
                last = json.loads((Path(name) / "step").read_text())
        for step in range(last + 1, 4):
            if given["ends"] and step == 2 and given["how"] != "never":
                time.sleep(3)  # so that it is the one that the others wait for
                if given["how"] == "fails":
                    raise ValueError("as it was told")
                return
            with tempfile.TemporaryDirectory() as name:
                (Path(name) / "step").write_text(str(step))
                told = {"step": at[step], "score": given["x"]}
                tune.report(told, checkpoint=tune.Checkpoint.from_directory(name))

    from ray import tune

    from l2o.benchmarks.tuning.populations import Population

    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 0.5}),
        param_space={
            "x": tune.grid_search([0.1, 0.5, 0.6]),
            "ends": tune.sample_from(lambda spec: spec.config.x == 0.5),
            "how": ends,
        },
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=Population(
                time_attr="step",
                perturbation_interval=16,
                synch=True,
                hyperparam_mutations={"x": tune.uniform(0.0, 0.5)},
                resample_probability=0.0,
            ),
        ),
        run_config=tune.RunConfig(name="population", storage_path=str(tmp_path), verbose=0),
    )
    found = tuner.fit()
    assert sorted(result.metrics["step"] for result in found) == reached


def test_what_diverges_stays_in_the_population(base):
    trial = FineTuneTrial(load_config("finetune", base, ["base_lr=1e20"]), reports=3)
    told = list(trial.steps())
    assert [each["step"] for each in told] == [10, 20, 30]
    assert trial.run.diverged
    assert told[-1]["source_validation_loss"] == 1e30
