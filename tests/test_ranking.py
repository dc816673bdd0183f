"""Ranks follow the direction of the objective's metric: of errors, the lowest is the best."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import TinyFamily
from zero_shot_cases import config as zero_shot_config
from zero_shot_cases import records_of

from l2o.benchmarks import make_plan, print_table, run_benchmark, write_report
from l2o.benchmarks.comparisons.ablation.summary import summarise as summarise_ablation
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.table.figures.rows import draw_untuned_and_tuned, focus
from l2o.benchmarks.comparisons.table.summary import summarise as summarise_table
from l2o.benchmarks.comparisons.table.tables import rank, results_table
from l2o.benchmarks.comparisons.zero_shot.figures import profile
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.benchmarks.comparisons.zero_shot.summary import summarise
from l2o.benchmarks.comparisons.zero_shot.tables import best_untuned, ordered
from l2o.configs.ablation import AblationConfig
from l2o.configs.load import check_config
from l2o.configs.schema import BenchmarkConfig, Claim, Grid, Named, Row
from l2o.deciding.policy import Policy
from l2o.envs.tasks import Examples


class Numbers(TinyFamily):
    """Regression: the network is to give what another one of its kind gives."""

    objective = "regression"

    def sample(self, seed):
        task = super().sample(seed)
        model = task.build_model()
        with torch.no_grad():
            splits = {
                split: Examples(images, 2 * model(images) + 1)
                for split in ("source_train", "source_validation", "target_test", "proxy_test")
                for images in (getattr(task, split).images,)
            }
        validation = Examples(task.target_validation.images, splits["target_test"].labels)
        return replace(task, objective="regression", target_validation=validation, **splits)


class Halve(Policy):
    """Stands for a learned policy: each layer half of the one above."""

    def __call__(self, observation, state):
        return 0.5 ** torch.arange(len(observation)).flip(0).float(), state


CONFIG = BenchmarkConfig(
    task=Named(name="test_ranking:Numbers"),
    tasks=2,
    seeds=2,
    base_lr_factors=(0.01, 1.0, 3.0),
    policy="test_ranking:Halve",
    finetuning={"guidance": {}, "interval": 5},
    rows=(Row(label="plain"), Row(label="frozen", profile="frozen_backbone")),
    grid=Grid(schedules=("constant", "cosine"), profiles=("flat", "frozen_backbone")),
    claims=(Claim(claim="training the backbone helps", row="plain", rival="frozen"),),
    evaluations=2,
    bootstrap=50,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("regression")
    run_benchmark(CONFIG, out, workers=1, progress=False)
    write_report(out)
    return TABLE.load(out)


def errors(folder, row):
    """Return the errors of a row's fine-tunes, by base-LR factor and task."""
    found = {}
    for record in (folder.records[id] for id in row.cells):
        place = record.base_lr_factor, record.task_seed
        found.setdefault(place, []).append(record.scores["target_test"]["rmse"])
    return {place: np.mean(values) for place, values in found.items()}


def test_the_objective_says_which_metric_and_what_is_better(folder):
    main = folder.results.main
    assert (main.metric, main.direction, main.unit) == ("rmse", "min", "label units")
    assert main.words == "target rmse"


def test_the_best_row_is_the_one_of_the_lowest_error(folder):
    rows = folder.results.rows
    best = max(rows, key=lambda row: rank(row, folder.results.main))
    values = {row.label: row.misjudged.scores["target_accuracy"].value for row in rows}
    assert values[best.label] == min(values.values()) < max(values.values())
    grid = [row for row in rows if row.kind == "grid"]
    shown = results_table(folder.results, max_grid_rows=1).rows
    assert shown[-1][0] == min(grid, key=lambda row: values[row.label]).label
    # Of each profile's schedules a figure names the best; the best line is the last.
    assert min(grid, key=lambda row: values[row.label]).label in focus(folder.results)
    lines = [text.get_text() for text in draw_untuned_and_tuned(folder).axes[0].get_yticklabels()]
    drawn = [values[label] for label in lines if label in values]
    assert drawn == sorted(drawn, reverse=True)


def test_the_oracle_takes_the_lowest_error_of_each_task(folder):
    results = folder.results
    grid = {row.label: errors(folder, row) for row in results.rows if row.kind == "grid"}
    (whole,) = (
        entry
        for entry in results.tuned
        if entry.schedule == "best of the whole grid" and entry.selection == "target_accuracy"
    )
    for pick in whole.chosen:
        of_task = [found[key] for found in grid.values() for key in found if key[1] == pick.task]
        assert pick.score == pytest.approx(min(of_task), abs=1e-5)


def test_differences_are_positive_where_the_error_is_lower(folder):
    results = folder.results
    means = {row.label: np.mean(list(errors(folder, row).values())) for row in results.rows}
    (policy,) = results.policies
    for entry in policy.against:
        if entry.setting == "mean over base LRs":
            gain = means[entry.label] - means[policy.label]
            assert entry.difference.value == pytest.approx(gain, abs=1e-4)
    (order,) = results.claims
    assert order.difference.value == pytest.approx(means["frozen"] - means["plain"], abs=1e-4)
    figure = results.figures[0]
    assert (figure.claim, figure.unit) == (order.claim, "target_rmse")
    assert figure.value == pytest.approx(order.difference.value, abs=1e-3)


def test_reports_speak_of_the_error_in_its_unit(folder):
    page = (folder.directory / "report.html").read_text()
    assert "target rmse" in page
    assert "in target_rmse" in page
    assert "Down and to the left is better" in page
    assert "percentage points, 95" not in page
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_table(folder.directory, console)
    best = min(row.default.scores["target_accuracy"].value for row in folder.results.rows)
    assert f"{best:.4f}" in console.file.getvalue()


# --- errors that mirror accuracies


def mirrored(record):
    """Return a record with the error 1 - accuracy in place of accuracy."""
    scores = {
        split: {"rmse": 1.0 - values["accuracy"], **{k: values[k] for k in values if k == "loss"}}
        for split, values in record.scores.items()
    }
    told = {"metric": "rmse", "direction": "min", "unit": "label units", "chance": None}
    return record.model_copy(update={"scores": scores, **told})


def both():
    """Return made-up families with accuracies, and the same with errors."""
    families = records_of(zero_shot_config())
    return families, {
        name: (plan, {id: mirrored(record) for id, record in records.items()})
        for name, (plan, records) in families.items()
    }


def test_families_are_ranked_tuned_and_claimed_alike():
    accuracies, mirror = (summarise(zero_shot_config(), each, workers=1) for each in both())
    assert mirror.main.direction == "min"
    assert [row.label for row in ordered(mirror)] == [row.label for row in ordered(accuracies)]
    for name in mirror.families:
        assert best_untuned(mirror, name).label == best_untuned(accuracies, name).label
    for one, other in zip(accuracies.rows, mirror.rows, strict=True):
        if one.kind != "cross_fitted":  # which is of accuracies on halves of the images
            assert one.families["new"].chosen == tuple(
                pick.model_copy(update={"score": pytest.approx(1 - pick.score)})
                for pick in other.families["new"].chosen
            )
            for setting, found in one.against.items():
                assert other.against[setting].value == pytest.approx(found.value)
                assert other.against[setting].tasks_better == found.tasks_better
    for one, other in zip(accuracies.figures, mirror.figures, strict=True):
        assert (one.figure, one.against) == (other.figure, other.against)
        if one.unit == "points":
            assert other.unit == "target_rmse"
            assert other.value == pytest.approx(one.value / 100, abs=1e-3)


def test_a_family_s_table_is_tuned_and_claimed_alike():
    settings = family_config(zero_shot_config(), "seen")
    accuracies, mirror = (
        summarise_table(settings, make_plan(settings), families["seen"][1], workers=1)
        for families in both()
    )
    for one, other in zip(accuracies.tuned, mirror.tuned, strict=True):
        assert [pick.label for pick in one.chosen] == [pick.label for pick in other.chosen]
        assert other.score.value == pytest.approx(1 - one.score.value)
    for one, other in zip(accuracies.figures, mirror.figures, strict=True):
        assert (one.figure, one.against) == (other.figure, other.against)
        assert other.value == pytest.approx(one.value / 100, abs=1e-3)


def test_profiles_count_errors_that_are_at_most_as_large():
    found = profile(np.array([0.3, 0.3, 0.9]), np.array([0.0, 0.3, 0.31, 0.9, 1.0]), sign=-1.0)
    assert found.tolist() == pytest.approx([0, 2 / 3, 2 / 3, 1, 1])


def test_ablations_call_the_lower_error_better(tmp_path):
    from ablation_cases import TRAIN

    from l2o.benchmarks.comparisons.ablation.plan import make_runs
    from l2o.benchmarks.comparisons.ablation.result_models import RunRecord

    (tmp_path / "train.yaml").write_text(TRAIN)
    data = {"train": str(tmp_path / "train.yaml"), "variants": {"base": {}, "other": {}}}
    settings = check_config(AblationConfig, data | {"episodes": 2, "bootstrap": 20}, "a test")
    scores = {"base": (0.5, 0.7), "other": (0.4, 0.5)}
    found = [
        (
            run,
            RunRecord(
                id=run.id,
                label=run.label,
                seed=run.seed,
                folder=run.folder,
                fine_tunes=8,
                seconds=1.0,
                metric="rmse",
                direction="min",
                unit="label units",
                scores=scores[run.label],
                chance=(None, None),
                diverged=(False, False),
            ),
        )
        for run in make_runs(settings)
    ]
    results = summarise_ablation(settings, found, [])
    assert results.rows[1].score.value == pytest.approx(0.45)
    assert results.rows[1].difference.value == pytest.approx(0.15)
