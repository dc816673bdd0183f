import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny import TinyFamily

from l2o.benchmarks import print_table, run_benchmark, write_report
from l2o.benchmarks.cells.record import Point, Record
from l2o.benchmarks.cells.samples import load_samples, save_samples
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.table.figures import FIGURES
from l2o.benchmarks.comparisons.table.figures.over_training import curves
from l2o.benchmarks.comparisons.table.figures.rows import focus
from l2o.benchmarks.comparisons.table.result_models import Block, RowResult, TableResults
from l2o.benchmarks.report.factors import duration, show_factor
from l2o.benchmarks.report.markdown import to_markdown
from l2o.benchmarks.report.tables import Table, percent, points
from l2o.benchmarks.statistics import Estimate
from l2o.configs.schema import BenchmarkConfig, Bound, Claim, Grid, Named, Row
from l2o.deciding.policy import Policy
from l2o.envs.tasks import Examples
from l2o.files.seals import write_json


class Halve(Policy):
    """Stands for a learned policy: each layer half of the one above."""

    def __call__(self, observation, state):
        return 0.5 ** torch.arange(len(observation)).flip(0).float(), state


ABOVE = Bound(at_least=0.0, clear=True)
CONFIG = BenchmarkConfig(
    title="<b>Fair & square</b>",
    task=Named(name="tiny:TinyFamily"),
    tasks=2,
    seeds=2,
    base_lr_factors=(0.1, 1.0, 100.0),
    policy="test_report:Halve",
    rows=(Row(label="frozen", profile="frozen_backbone"), Row(label="plain", guidance={})),
    grid=Grid(schedules=("constant", "cosine"), profiles=("flat", "small_backbone")),
    claims=(
        Claim(claim="training the backbone helps", row="plain", rival="frozen"),
        Claim(claim="above one LR", rival="best one-LR schedule"),
        Claim(rival="best schedule", base_lrs=("mean", "default"), must=None, goal=ABOVE),
        Claim(rival="source_validation", must=None, goal=ABOVE),
        Claim(rival="target_accuracy", must=None, goal=ABOVE),
    ),
    evaluations=3,
    bootstrap=50,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    run_benchmark(CONFIG, out, workers=1, progress=False)
    return out


@pytest.fixture(scope="module")
def page(folder):
    return write_report(folder).read_text(encoding="utf-8")


class Links(HTMLParser):
    """Collects tags, and whatever a page would load."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.loads = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset")]


def test_the_report_is_self_contained(page):
    links = Links(page)
    assert "script" not in links.tags
    assert "link" not in links.tags
    assert links.loads
    assert all(value.startswith("data:image/png;base64,") for value in links.loads)
    assert "url(" not in page


def test_what_comes_from_the_config_is_escaped(page):
    assert "<b>Fair" not in page
    assert "&lt;b&gt;Fair &amp; square&lt;/b&gt;" in page


def test_the_report_shows_tables_claims_and_definitions(page):
    for text in (
        "learned policy",
        "cosine, small backbone",
        "training the backbone helps",
        "by source validation",
        "by target (oracle)",
        "percentile-bootstrap",
    ):
        assert text in page


def test_figures_are_written_as_pngs(page, folder):
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    # The tiny family has no images, and so no samples.
    assert names == set(FIGURES) - {"samples"}
    for path in (folder / "figures").glob("*.png"):
        assert Image.open(path).width > 800
    assert page.count("<figure>") == len(names)


def test_markdown_holds_the_main_table(page, folder):
    text = (folder / "report.md").read_text()
    assert "| **learned policy** |" in text
    assert re.search(r"\| cosine, flat \| \d+\.\d \[", text)


def test_the_terminal_table_fits_100_columns(folder):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_table(folder, console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for word in ("learned policy", "training", "must be > 0", "by source validation"):
        assert word in text


def test_a_report_is_made_from_the_folder_alone(folder, tmp_path):
    for name in ("results.json", "cells.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    pages = [TABLE.page(TABLE.load(place), []) for place in (tmp_path, folder)]
    assert pages[0].to_html() == pages[1].to_html()
    assert pages[0].to_markdown() == pages[1].to_markdown()


@pytest.mark.parametrize(
    ("file", "told"),
    [("model.safetensors", "its report.html there"), ("policy.safetensors", "policy=")],
)
def test_the_folder_of_another_command_is_named(tmp_path, file, told):
    (tmp_path / file).touch()
    (tmp_path / "results.json").write_text("damaged")
    with pytest.raises(ValueError, match=f"holds no benchmark, but what .*{told}"):
        write_report(tmp_path)


def test_reports_on_the_least_possible_benchmark(tmp_path):
    settings = CONFIG.model_copy(
        update={
            "policy": None,
            "rows": (Row(label="only"),),
            "grid": Grid(),
            "claims": (),
            "tasks": 1,
            "seeds": 1,
            "base_lr_factors": (1.0,),
        }
    )
    run_benchmark(settings, tmp_path, workers=1, progress=False)
    assert "only" in write_report(tmp_path).read_text()


def test_missing_fine_tunes_are_said_aloud(folder, tmp_path):
    data = json.loads((folder / "results.json").read_text())
    data["failures"] = [{"id": "x", "label": "cosine, flat", "error": "OSError: <gone>"}]
    write_json(tmp_path / "results.json", data)
    (tmp_path / "cells.jsonl").write_bytes((folder / "cells.jsonl").read_bytes())
    page = TABLE.page(TABLE.load(tmp_path), []).to_html()
    assert "1 fine-tunes are missing" in page
    assert "OSError: &lt;gone&gt;" in page
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_table(tmp_path, console)
    assert "OSError: <gone>" in console.file.getvalue()


def test_folders_without_results_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `l2o benchmark"):
        write_report(tmp_path)
    (tmp_path / "cells.jsonl").write_text("")
    with pytest.raises(FileNotFoundError, match="not finished"):
        print_table(tmp_path)


def test_results_of_another_layout_are_refused(tmp_path):
    for format in (1, 3):
        (tmp_path / "results.json").write_text(json.dumps({"format": format}))
        with pytest.raises(ValueError, match=f"format {format}.*run the benchmark command again"):
            TABLE.load(tmp_path)


def test_figures_name_few_rows_and_the_learned_policy_first(folder):
    looks = focus(TABLE.load(folder).results, limit=4)
    assert list(looks)[:3] == ["learned policy", "frozen", "plain"]
    assert len(looks) == 4
    assert len({(look.color, look.marker, str(look.linestyle)) for look in looks.values()}) == 4


@pytest.mark.parametrize("kinds", [["row"] * 12, ["policy"] * 12, ["policy", *["row"] * 12]])
def test_however_many_rows_each_named_one_has_a_look_of_its_own(kinds):
    block = Block(factors=(1.0,), scores={"target_accuracy": Estimate(0.5)}, plain_mean=0.5)
    rows = [
        RowResult.model_construct(label=str(n), kind=kind, profile="", misjudged=block)
        for n, kind in enumerate(kinds)
    ]
    looks = focus(TableResults.model_construct(rows=rows), limit=99)
    assert len(looks) == (8 if "policy" in kinds else 7)
    assert len({(look.color, look.marker) for look in looks.values()}) == len(looks)


def test_curves_hold_the_last_value_of_what_ended_early():
    def record(*values):
        points = [
            Point(step=10 * (i + 1), scores={}, proxy_kl=value) for i, value in enumerate(values)
        ]
        return Record.model_construct(steps=30, curve=points)

    def kl(point):
        return point.proxy_kl

    progress, values = curves([record(1.0, None), record(1.0, 2.0, 3.0)], kl)
    np.testing.assert_allclose(progress, [1 / 3, 2 / 3, 1])
    np.testing.assert_array_equal(values, [[1, np.nan, np.nan], [1, 2, 3]])


def test_samples_are_kept_as_pictures(tmp_path):
    class Task:
        proxy_test = source_train = target_test = Examples(
            torch.rand(6, 3, 4, 4), torch.tensor([0, 0, 1, 1, 2, 2])
        )

    save_samples(Task(), tmp_path, count=4)
    samples = load_samples(tmp_path)
    assert list(samples) == ["proxy", "source", "target"]
    assert samples["target"].shape == (4, 4, 4, 3)
    assert samples["target"].dtype == np.uint8
    save_samples(TinyFamily().sample(0), tmp_path / "none")
    assert load_samples(tmp_path / "none") == {}


def test_numbers_are_written_plainly():
    assert show_factor(0.0333333) == "1/30"
    assert show_factor(30.0) == "30"
    assert percent(Estimate(0.5)) == "50.0"
    assert percent(Estimate()) == "–"
    assert points(Estimate(0.02, -0.01, 0.05)) == "+2.0 [-1.0, +5.0]"
    assert (duration(42), duration(9000)) == ("42 s", "2.5 h")


def test_markdown_escapes_what_would_break_a_table():
    text = to_markdown(Table("t", ("", "x"), [("a|b", "*")], strong=frozenset({0})))
    assert text.splitlines()[-1] == r"| **a\|b** | **\*** |"
