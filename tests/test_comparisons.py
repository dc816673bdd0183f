"""What all kinds of comparison share: one pipeline, checked files, claims that configs make."""

import json
from pathlib import Path

import numpy as np
import pytest
from zero_shot_cases import config as zero_shot_config
from zero_shot_cases import records_of

from l2o.benchmarks import make_plan, write_report
from l2o.benchmarks.cells.quantities import QUANTITIES
from l2o.benchmarks.comparisons.kinds import CONFIGS, KINDS, member
from l2o.benchmarks.comparisons.results_file import FORMAT
from l2o.benchmarks.comparisons.table.differences import check_orders, headline_figures
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.comparisons.table.plan import PlannedRow
from l2o.benchmarks.comparisons.table.summary import summarise
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.configs.load import check_config, load_config
from l2o.configs.schema import BenchmarkConfig, Claim
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import write_json

PUBLISHED = sorted((Path(__file__).parents[1] / "docs" / "results").glob("*/results.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_members_keep_the_contract(kind, tmp_path):
    comparison = member(kind)
    assert comparison.kind == kind
    assert kind in CONFIGS.values()
    assert comparison.results.model_fields["kind"].default == kind
    with pytest.raises(FileNotFoundError, match="run `l2o benchmark"):
        comparison.load(tmp_path)
    write_json(tmp_path / "results.json", {"format": FORMAT, "kind": kind, "title": "t"})
    with pytest.raises(DamagedFileError, match=r"results\.json holds no results .*run the same"):
        comparison.load(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"format": 1, "kind": kind}))
    with pytest.raises(ValueError, match=r"format 1.*run the benchmark command again to rewrite"):
        write_report(tmp_path)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_results_of_earlier_releases_say_what_to_do(path):
    data = json.loads(path.read_text())
    if data.get("format") != 1:
        pytest.skip("of this release, or no comparison's")
    with pytest.raises(ValueError, match="run the benchmark command again"):
        member(data.get("kind", "table")).load(path.parent)


def table(**changes):
    """Return the results of one family of made-up records."""
    settings = family_config(zero_shot_config(), "seen").model_copy(update=changes)
    records = records_of(zero_shot_config())["seen"][1]
    return summarise(settings, make_plan(settings), records, workers=1)


def test_a_benchmark_that_claims_nothing_is_not_graded():
    figures = table().figures
    assert len(figures) == 10  # two policies x five figures
    assert {(figure.must, figure.goal, figure.holds) for figure in figures} == {("", "", None)}
    assert figures[0].figure == "learned policy − best one-LR schedule, misjudged base LRs"
    assert figures[0].value == pytest.approx(100 * (0.65 + 0.005 - (0.3 + 0.5 + 0.1) / 3), abs=1e-3)


def test_claims_grade_what_they_name():
    claims = load_config("benchmark", "demo").claims
    figures = {figure.figure: figure for figure in table(claims=claims).figures}
    one = figures["learned policy − best one-LR schedule, misjudged base LRs"]
    assert (one.must, one.goal) == (">= 0, interval above 0", "")
    best = figures["learned policy − best schedule, default base LR"]
    assert (best.must, best.goal) == ("", ">= 0, interval above 0")
    only = (Claim(rival="best schedule", row="lite policy", must=None),)
    assert not any(figure.must for figure in table(claims=only).figures)


def test_old_names_of_claims_are_read():
    data = {"claims": [{"claim": "c", "better": "a", "worse": "b"}]}
    (claim,) = check_config(BenchmarkConfig, data, "an old config").claims
    assert (claim.row, claim.rival) == ("a", "b")


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"rival": "best schedul"}, "Did you mean 'best schedule'"),
        ({"rival": "plain", "row": "plian"}, "unknown row in the claim"),
        ({"rival": "plain"}, "unknown row in the claim"),
        ({"rival": "best schedule", "metric": "target_acuracy"}, "Did you mean 'target_accuracy'"),
    ],
)
def test_claims_about_what_there_is_not_are_refused(claim, message):
    data = {"rows": [{"label": "plain"}], "claims": [{"claim": "c", **claim}]}
    with pytest.raises(ValueError, match=message):
        make_plan(check_config(BenchmarkConfig, data, "a test"))


def test_an_order_is_claimed_where_the_claim_says():
    def row(label, *accuracies):
        runs = np.tile(np.array(accuracies)[:, None, None], (1, 2, 3))
        values = {metric: np.full_like(runs, np.nan) for metric in QUANTITIES}
        planned = PlannedRow(label, "row", "cosine", "flat", False, (), (), {})
        return RowScores(planned, (1.0, 100.0), values | {"target_accuracy": runs}, ())

    rows = [row("tuned", 0.6, 0.1), row("still", 0.5, 0.5)]
    claim = Claim(claim="above", row="tuned", rival="still", base_lrs=("default", "mean"))
    orders = check_orders([claim], rows, resamples=50)
    assert [order.claim for order in orders] == ["above, default base LR", "above"]
    assert [order.difference.value for order in orders] == pytest.approx([0.1, -0.15])
    assert [order.verdict for order in orders] == ["holds", "the opposite holds"]
    figures = headline_figures([claim], orders, (), QUANTITIES["target_accuracy"])
    assert [figure.figure for figure in figures] == ["above, default base LR", "above"]
