"""Rows of a benchmark that are searches by Ray Tune, run as any other row."""

import pytest
from benchmark_cases import config as table

from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.cells.stackable import ALONE, stack_key
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.configs.load import check_config
from l2o.configs.schema import Grid, Named, Row
from l2o.configs.search import Search

RATES = {"base_lr": {"loguniform": [1e-3, 0.5]}}
ASHA = {"fields": RATES, "fine_tunes": 3, "reports": 3}
PBT = {
    "fields": RATES,
    "layers": {"loguniform": [0.1, 10.0]},
    "scheduler": {"name": "pbt", "options": {"synch": True, "quantile_fraction": 0.5}},
    "fine_tunes": 2,
    "reports": 2,
}


def rows(**searches):
    return tuple(
        check_config(Row, {"label": label, "schedule": "cosine", "search": given}, "a test")
        for label, given in searches.items()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"search": {}}, "neither fields nor layers"),
        ({"search": {"fields": {"base_lr": {"loguniform": [0, 1]}}}}, "positive low end"),
        ({"search": {"fields": RATES, "searcher": "grid"}}, "no budget of fine-tunes"),
        ({"search": {"fields": RATES, "fine_tunes": 1}}, "greater than or equal to 2"),
        (
            {"search": {"layers": PBT["layers"], "fields": {"choice.schedule": {"choice": ["a"]}}}},
            "layers, which set all multipliers, and choice.schedule",
        ),
        (
            {"search": {"fields": {"optimizer": {"choice": ["sgd"]}}, "scheduler": "pbt"}},
            "cannot change there",
        ),
        ({"search": {**PBT, "equal_time": True}}, "equal_time is not for scheduler pbt"),
        ({"search": ASHA, "policy": "asg-base"}, "policy and search are both given"),
        ({"search": ASHA, "adaptation": {"method": "cbst"}}, "adaptation and search are both"),
    ],
)
def test_what_cannot_be_searched_is_refused(fields, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        check_config(Row, {"label": "a row", **fields}, "a test")


def test_one_search_stands_for_all_base_rates_that_it_searches():
    found, changed = rows(a=ASHA, b={**ASHA, "fine_tunes": 4})
    settings = table(rows=(found, changed), grid=Grid(), base_lr_factors=(0.1, 1.0, 10.0))
    cells = {row.label: row.cells for row in make_plan(settings).rows}
    runs = settings.tasks * settings.seeds
    assert len({cell.id for cell in cells["a"]}) == runs
    assert {cell.id for cell in cells["a"]}.isdisjoint(cell.id for cell in cells["b"])
    assert {stack_key(cell) for cell in cells["a"]} == {ALONE}
    (layers,) = rows(c={"layers": PBT["layers"], "fine_tunes": 2})
    alone = make_plan(settings.model_copy(update={"rows": (layers,)}))
    assert len(alone.cells) == 3 * runs, "multipliers refer to the base rate"
    plain = make_plan(table(rows=(Row(label="a", schedule="cosine"),), grid=Grid()))
    assert all("search" not in cell.choice.model_dump() for cell in plain.cells)


def test_the_fields_of_layers():
    search = Search.model_validate({"layers": {"uniform": [0.0, 1.0]}, "fields": RATES})
    assert list(search.by_layer(2)) == ["base_lr"] + [
        f"choice.rule.options.multipliers.{each}" for each in range(2)
    ]


def test_a_searched_row_is_the_fine_tune_that_it_chose(ray_cluster, tmp_path):
    settings = table(
        rows=rows(asha=ASHA, pbt=PBT),
        grid=Grid(),
        tasks=1,
        seeds=1,
        evaluations=2,
        executor=Named(name="here"),
    )
    run_benchmark(settings, tmp_path, progress=False)
    folder = TABLE.load(tmp_path)
    by_label = {row.label: row.cells[0].id for row in make_plan(settings).rows}
    asha, pbt = (folder.records[by_label[label]] for label in ("asha", "pbt"))
    assert (asha.searched.fine_tunes, pbt.searched.fine_tunes) == (3, 2)
    assert asha.steps <= asha.searched.steps <= 3 * asha.steps
    assert pbt.searched.steps == 2 * pbt.steps
    for record in (asha, pbt):
        assert record.curve[-1].step == record.steps
        assert record.scores["target_test"]["accuracy"] is not None
        assert 1e-3 <= record.rates.base_lr <= 0.5
    assert len(asha.curve) == 2
    assert asha.rates.step, "it was run once more, in full"
