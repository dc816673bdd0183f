"""The ablation: its config, equal episodes for all, exact numbers, a small one from end to end."""

import io
import json
import statistics

import numpy as np
import pytest
import torch
from ablation_cases import FEW, TRAIN, VARIANTS
from rich.console import Console
from tiny import TinyFamily

import l2o.benchmarks.comparisons.ablation.comparison as ablation_run
from l2o.benchmarks import print_table, run_benchmark, write_report
from l2o.benchmarks.cells.record import Failure
from l2o.benchmarks.cells.record_file import CELLS, read_records
from l2o.benchmarks.comparisons.ablation.comparison import ABLATION
from l2o.benchmarks.comparisons.ablation.learn import is_learned, scoring_config
from l2o.benchmarks.comparisons.ablation.plan import check_run, make_runs
from l2o.benchmarks.comparisons.ablation.result_models import RunRecord
from l2o.benchmarks.comparisons.ablation.summary import summarise
from l2o.benchmarks.comparisons.results_file import Finished
from l2o.benchmarks.statistics import CROSSED, estimate, mean
from l2o.configs.ablation import AblationConfig
from l2o.configs.errors import ConfigError
from l2o.configs.load import check_config, dump_config, load_config, load_table
from l2o.envs.build import build
from l2o.envs.tasks import TASKS
from l2o.policies.common.evaluation import begin_drawn, evaluation_task
from l2o.policies.common.networks import build_network, export_policy
from l2o.policies.train import train
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(f"{TRAIN}\nexecutor: {{name: here}}\n")

    def make(**changes):
        data = {
            "train": str(path),
            "variants": VARIANTS,
            "fine_tunes": 8,
            "episodes": 3,
            "bootstrap": 200,
        }
        return check_config(AblationConfig, {**data, **changes}, "a test")

    return make


# --- configs


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"base": {}, "b": {"against": "c"}}, r"variants.b.against = 'c': no such variant"),
        ({"base": {}, "b": {"against": "b"}}, "is the variant itself"),
        ({"base": {"against": "b"}, "b": {}}, "variants.base is the first"),
        ({"base": {}, "b": None}, "at least 2"),
        ({"base": {}, "b": {"change": {}}}, "Did you mean variants.b.changes"),
    ],
)
def test_variants_that_cannot_be_compared_are_refused(variants, message, config):
    with pytest.raises(ConfigError, match=message):
        config(variants=variants)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "`seeds`"),
        ({"episodes": 3}, "`fine_tunes`"),
        ({"minutes": 3.0}, "same budget"),
        ({"evaluation.drawn": 4}, "for all variants alike"),
        ({"network.hiden": 4}, "Did you mean network.hidden"),
        ({"network..hidden": 4}, "no field's|not a field's"),
    ],
)
def test_changes_that_make_no_fair_variant_are_refused(changes, message, config):
    with pytest.raises(ValueError, match=message):
        make_runs(config(variants={"base": {}, "other": {"changes": changes}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task.options": {"split": "heldout"}}, "variant 'other': the tasks are of the split"),
        ({"environment.signals": ["present", "los"]}, "variant 'other': .*loss"),
        ({"algorithm": {"name": "pp"}}, "variant 'other': .*ppo"),
    ],
)
def test_what_cannot_run_or_looks_at_held_out_tasks_fails_before_any_work(
    changes, message, config, tmp_path
):
    settings = config(variants={"base": {}, "other": {"changes": changes}})
    with pytest.raises(ValueError, match=message):
        run_benchmark(settings, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_held_out_tasks_of_the_base_are_refused(config):
    runs = make_runs(config(changes={"evaluation.task": {"split": "heldout"}}))
    with pytest.raises(ValueError, match="an ablation guides choices"):
        check_run(runs[0])


def test_labels_that_share_a_folder_are_refused(config):
    with pytest.raises(ValueError, match="share a folder"):
        make_runs(config(variants={"A b": {}, "a-b": {}}))


def test_a_config_loads_back_equal_and_is_no_table(config, tmp_path):
    settings = config()
    (tmp_path / "own.yaml").write_text(dump_config(settings))
    assert load_config("benchmark", tmp_path / "own.yaml") == settings
    with pytest.raises(ConfigError, match="learns first"):
        load_table(tmp_path / "own.yaml")


def test_runs_have_the_budget_and_folders_of_their_own(config):
    runs = make_runs(config(seeds=[0, 5]), workers=2)
    assert [(run.label, run.seed) for run in runs[:3]] == [("base", 0), ("base", 5), (FEW_LABEL, 0)]
    assert {run.config.episodes for run in runs} == {8}
    assert {run.config.workers for run in runs} == {2}
    assert len({run.folder for run in runs}) == len({run.id for run in runs}) == len(runs)
    alike = make_runs(config(seeds=[0, 5]))
    # Processes change how long it takes, not what comes out; episodes change the scores alone.
    assert [run.id for run in alike] == [run.id for run in runs]
    more = make_runs(config(seeds=[0, 5], episodes=4))
    assert [run.folder for run in more] == [run.folder for run in runs]
    assert not {run.id for run in more} & {run.id for run in runs}


FEW_LABEL = "few signals"


def test_the_preset_of_exploration_adds_signals_and_changes_noise():
    runs = {run.label: run for run in make_runs(load_config("benchmark", "exploration"))}
    for run in runs.values():
        check_run(run)
    kinds = runs["signals of a layer's kind"].config.environment.signals
    assert kinds == (*DEFAULT_SIGNALS, *KIND_SIGNALS)
    noise = ("noise_memory", "noise_shared", "log_std")
    told = [
        tuple(run.config.algorithm.options.get(name, 0.0) for name in noise)
        for run in runs.values()
    ]
    assert told == [
        *[(0.0, 0.0, -1.6)] * 2,
        *[(0.9, 0.0, -1.6), (0.9, 0.7, -1.6), (0.0, 0.0, -2.3), (0.9, 0.0, -2.3)],
        *[(0.0, 0.0, -1.2), (0.0, 0.0, -0.9), (0.0, 0.0, -0.2)],
    ]


def test_the_preset_changes_one_thing_each():
    settings = load_config("benchmark", "ablation")
    runs = {run.label: run for run in make_runs(settings)}
    for run in runs.values():
        check_run(run)
    base = runs["base"].config
    assert base.environment.signals is None
    missing = {
        "no proxy-KL signals": {"proxy_kl", "proxy_kl_trend", "has_proxy_kl"},
        "no loss signals": {"loss", "loss_trend", "has_loss"},
        "no progress signals": {"progress", "steps_left", "has_progress"},
        "no drift signal": {"drift"},
    }
    for label, names in missing.items():
        kept = tuple(name for name in DEFAULT_SIGNALS if name not in names)
        assert runs[label].config.environment.signals == kept
    lite = load_config("train", "asg-lite").environment.signals
    assert runs["optimizer alone"].config.environment.signals == lite
    assert runs["another seed"].config == base.model_copy(
        update={"name": "another seed", "seed": base.seed + 1000}
    )
    assert {variant.group for variant in list(settings.variants.values())[1:]} == {
        "control",
        "signals",
        "reward",
        "network",
        "algorithm",
    }


# --- the same episodes for all


def test_scored_episodes_are_the_same_whatever_a_variant_changes(config):
    changes = {
        "base": {},
        "few": {"environment.signals": FEW},
        "told": {"environment.validation": True},
        "bins": {"environment.multipliers": {"kind": "bins"}},
        "acts": {"environment.guidance_actions": ["proxy_kl"]},
        "reward": {"environment.rewards": {"final_validation_accuracy": 1.0}},
        "draws": {
            "environment.optimizers": [],
            "environment.base_lr": [0.5, 0.5],
            "environment.tasks": 2,
            "environment.group": 4,
            "environment.signal_dropout": 0.0,
            "environment.guidance_weights": {},
        },
    }
    settings = config(variants={label: {"changes": found} for label, found in changes.items()})
    ended = {run.label: [play(run, number) for number in range(4)] for run in make_runs(settings)}
    whole = ended["base"]
    assert {drawn["optimizer"] for drawn, *_ in whole} == {0, 1}
    assert len({drawn["task_seed"] for drawn, *_ in whole}) == 4
    assert any(withheld for *_, withheld in whole)
    for label in changes:
        assert [each[:2] for each in ended[label]] == [each[:2] for each in whole], label
        if label != "few":  # which sees none of the signals that may be withheld
            assert [each[2] for each in ended[label]] == [each[2] for each in whole], label


def play(run, number):
    """Return what was drawn, the accuracy under a constant multiplier, and what was withheld."""
    policy = export_policy(run.config, build_network(run.config, TinyFamily().max_layers))
    family = build("task", TASKS, evaluation_task(run.base))
    env, _, drawn = begin_drawn(scoring_config(run, policy), family, number)
    withheld = {policy.signals.names[column] for column in env._withheld}
    env.run.controller.set_multipliers(torch.ones(len(env.run.controller.rows)))
    env.run.advance(env.run.steps)
    return drawn, env.run.scores("target_validation")["accuracy"], sorted(withheld)


# --- exact numbers


def made_up(settings, scores):
    """Return runs with records whose accuracies are given: label -> seed -> accuracies."""
    found = []
    for run in make_runs(settings):
        if run.seed in scores[run.label]:
            accuracies = scores[run.label][run.seed]
            record = RunRecord(
                id=run.id,
                label=run.label,
                seed=run.seed,
                folder=run.folder,
                fine_tunes=8 + run.seed,
                seconds=60.0 + run.seed,
                scores=accuracies,
                chance=[0.32] * len(accuracies),
                diverged=[accuracy == 0.0 for accuracy in accuracies],
            )
            found.append((run, record))
    return found


def test_the_summary_against_a_plain_reference(config):
    scores = {
        "base": {0: [0.5, 0.7, 0.9], 1: [0.4, 0.8, 0.6]},
        "few signals": {0: [0.4, 0.7, 0.0], 1: [0.45, 0.5, 0.7]},
        "evolution": {1: [0.6, 0.9, 0.8]},
        "smaller": {0: [0.5, 0.5, 0.5], 1: [0.5, 0.5, 0.5]},
        "shifted": {0: [0.5, 0.7, 0.9], 1: [0.4, 0.8, 0.6]},
    }
    settings = config(seeds=[0, 1])
    data = summarise(settings, made_up(settings, scores), []).model_dump(mode="json")
    rows = {row["label"]: row for row in data["rows"]}
    assert [row["label"] for row in data["rows"]] == list(VARIANTS)
    for label, other in [("few signals", "base"), ("evolution", "base"), ("smaller", FEW_LABEL)]:
        shared = [seed for seed in scores[label] if seed in scores[other]]
        gaps = [a - b for s in shared for a, b in zip(scores[label][s], scores[other][s])]
        assert rows[label]["against"] == other
        assert rows[label]["difference"]["value"] == pytest.approx(statistics.mean(gaps), abs=1e-6)
    assert rows["base"]["difference"] is None
    assert rows["base"]["score"]["value"] == pytest.approx(0.65)
    assert rows["few signals"]["at_chance"] == 3  # 0.4, 0.0 and 0.45 are at most 1.5 x 0.32
    assert rows["few signals"]["diverged"] == 1
    assert (rows["base"]["fine_tunes"], rows["base"]["minutes"]) == (8, 1.01)
    assert rows["few signals"]["scores"] == [[0.4, 0.7, 0.0], [0.45, 0.5, 0.7]]
    assert rows["shifted"]["changes"] == ["seed: 0 -> 10"]
    assert rows["shifted"]["difference"]["low"] == rows["shifted"]["difference"]["high"] == 0.0
    assert rows["smaller"]["changes"] == [
        f"environment.signals: {FEW!r} -> None",
        "network.hidden: 8 -> 4",
    ]


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_against_loops(seeds):
    scores = np.random.default_rng(7).random((seeds, 5))
    found = estimate(scores, mean, CROSSED, resamples=100, seed=3)
    rng = np.random.default_rng(3)
    episodes = rng.integers(5, size=(100, 1, 5))
    chosen = rng.integers(seeds, size=(100, seeds, 1))
    means = []
    for draw in range(100):
        rows = [scores[seed] for seed in chosen[draw, :, 0]]
        means.append(statistics.mean(row[e] for row in rows for e in episodes[draw, 0]))
    assert found.value == pytest.approx(scores.mean())
    assert found.low == pytest.approx(np.quantile(means, 0.025))
    assert found.high == pytest.approx(np.quantile(means, 0.975))
    assert found.low < found.value < found.high


def test_one_seed_resamples_episodes_alone():
    assert estimate(np.full((1, 4), 0.25), mean, CROSSED, resamples=50).high == 0.25
    unsure = estimate(np.array([[0.0] * 4, [1.0] * 4]), mean, CROSSED, resamples=50)
    assert (unsure.low, unsure.high) == (0.0, 1.0)


def test_a_variant_without_its_reference_has_no_difference(config):
    settings = config()
    scores = {"base": {}, "few signals": {0: [0.5, 0.6, 0.7]}, "evolution": {}, "smaller": {}}
    scores["shifted"] = {}
    failures = [Failure(label="base", error="oh")]
    results = summarise(settings, made_up(settings, scores), failures)
    rows = {row.label: row for row in results.rows}
    assert rows["few signals"].difference is None
    assert rows["few signals"].score.value == pytest.approx(0.6)
    assert rows["base"].score is None
    assert ABLATION.draw(Finished(None, results, {})) == []


# --- from end to end


def test_a_small_one_goes_on_after_a_kill(config, tmp_path, monkeypatch):
    variants = dict(list(VARIANTS.items())[:3])
    variants["broken"] = {"changes": {"algorithm.options.minibatches": 7}}
    settings, out = config(variants=variants), tmp_path / "out"
    runs = make_runs(settings)
    # The first was stopped half way through its training.
    half = out / "learned" / runs[0].folder
    train(runs[0].config.model_copy(update={"episodes": 4}), half, progress=False)
    assert not is_learned(runs[0].config, half)
    before = (half / "metrics.jsonl").read_text().splitlines()
    learn, learned = ablation_run.learn, []

    def kill_before_the_third(run, folder, progress):
        if run.label == "evolution" and "evolution" not in learned:
            learned.append(run.label)
            raise KeyboardInterrupt
        learned.append(run.label)
        return learn(run, folder, progress)

    monkeypatch.setattr(ablation_run, "learn", kill_before_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(settings, out, progress=False)
    first = read_records(out / CELLS, RunRecord)
    assert [record.label for record in first.values()] == ["base", "few signals"]
    assert not (out / "results.json").exists()
    rows = (half / "metrics.jsonl").read_text().splitlines()
    assert rows[: len(before)] == before
    assert json.loads(rows[-1])["episodes"] >= 8

    run_benchmark(settings, out, progress=False)
    assert learned == ["base", "few signals", "evolution", "evolution", "broken"]
    assert {id: read_records(out / CELLS, RunRecord)[id] for id in first} == first
    check_folder(out)


def check_folder(out):
    data = json.loads((out / "results.json").read_text())
    assert data["kind"] == "ablation"
    assert [row["fine_tunes"] >= 8 for row in data["rows"] if row["seeds"]] == [True] * 3
    assert [len(row["scores"][0]) for row in data["rows"] if row["seeds"]] == [3] * 3
    assert len(data["failures"]) == 1
    assert data["failures"][0]["label"] == "broken, seed 0"
    (out / "report.md").unlink()
    path = write_report(out)
    page, markdown = path.read_text(), (out / "report.md").read_text()
    assert "data:image/png" in page
    assert (out / "figures" / "forest.png").stat().st_size > 5000
    for words in ("few signals", "evolution", "1 learning seed", "episodes alone"):
        assert words in page
    assert "| few signals | signals |" in markdown or "**few signals**" in markdown
    console = Console(width=100, file=io.StringIO())
    print_table(out, console)
    shown = console.file.getvalue()
    assert "evolution" in shown
    assert "1 policies are missing" in shown
    assert max(map(len, shown.splitlines())) <= 100
