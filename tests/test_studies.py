"""Studies and speed measurements as families: one contract, one table, one command each."""

import json
import subprocess
import sys
from dataclasses import dataclass, is_dataclass
from typing import ClassVar, get_type_hints

import pytest
from commands import run, succeed
from typer.models import OptionInfo

from l2o.benchmarks.speed import SPEED
from l2o.benchmarks.studies import STUDIES
from l2o.benchmarks.studies.base import REMEDY, KeptStudy, Study, name_of, plain, read_kept
from l2o.files.atomic import DamagedFileError
from l2o.registry import lookup
from l2o.service.study import _spread

TABLES = [("study", name) for name in STUDIES] + [("speed", name) for name in SPEED]


def member(kind, name):
    return lookup(kind, {}, {"study": STUDIES, "speed": SPEED}[kind][name][0])


@pytest.mark.parametrize(("kind", "name"), TABLES)
def test_each_is_a_dataclass_of_options_with_help_and_examples(kind, name):
    found = member(kind, name)
    assert issubclass(found, Study)
    assert is_dataclass(found)
    assert found.__dataclass_params__.frozen
    printed = succeed(kind, name, "--help")
    assert printed.startswith(f"Usage: l2o {kind} {name} ")
    assert f"l2o {kind} {name}" in printed.partition("Examples:")[2]
    for each, hint in get_type_hints(found, include_extras=True).items():
        if any(isinstance(fact, OptionInfo) for fact in getattr(hint, "__metadata__", ())):
            assert f"--{each.replace('_', '-')} " in printed
    assert max(map(len, printed.partition("Examples:")[0].splitlines())) <= 100


@pytest.mark.parametrize("kind", ["study", "speed"])
def test_the_bare_command_and_its_help_list_all(kind):
    table = {"study": STUDIES, "speed": SPEED}[kind]
    for printed in (succeed(kind), succeed(kind, "--help")):
        lines = printed.splitlines()
        for name, (_, question) in table.items():
            assert any(line.split() == [name, *question.split()] for line in lines), name
        assert max(map(len, lines)) <= 100


def test_an_unknown_name_is_told_with_the_nearest():
    ended = run("study", "portrit")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: unknown study 'portrit'. Did you mean 'portrait'?")
    assert "Did you mean 'stacked'?" in run("speed", "stackd").stderr


def test_listing_loads_nothing_slow():
    code = (
        "import sys; from l2o.service.cli import app\n"
        "app(['study'], standalone_mode=False)\n"
        "print([n for n in ('torch', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_several_words_of_one_option():
    words = ["x", "--rows", "a", "b", "--out", "c", "k=v"]
    spread = ["x", "--rows", "a", "--rows", "b", "--out", "c", "k=v"]
    assert list(_spread(words, {"--rows"})) == spread


# --- a study of one's own


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Total:
    total: float


@dataclass(frozen=True, kw_only=True)
class Sums(KeptStudy[int, Number, Total]):
    """Add numbers."""

    examples = ("l2o study test_studies:Sums",)
    record = Number
    calls: ClassVar[list[int]] = []

    def plan(self):
        return [1, 2, 3]

    def run(self, piece):
        self.calls.append(piece)
        if piece == 3 and len(self.calls) == 3:
            raise KeyboardInterrupt
        return Number(piece / 2)

    def summarise(self, found):
        return Total(sum(each.value for each in found))


def test_finished_pieces_are_kept_and_a_stopped_study_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Sums, "calls", [])
    with pytest.raises(KeyboardInterrupt):
        Sums(out=tmp_path).answer()
    lines = (tmp_path / "cells.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2"]
    assert Sums(out=tmp_path).answer() == Total(3.0)
    assert Sums.calls == [1, 2, 3, 3]
    assert Sums(out=tmp_path).answer() == Total(3.0)
    assert len(Sums.calls) == 4
    path = tmp_path / "cells.jsonl"
    path.write_text('{"id": "1", "value": "much"}\n')
    with pytest.raises(DamagedFileError, match=rf"line 1.*{REMEDY}"):
        list(read_kept(path, Number))


def test_the_pieces_of_a_study_are_done_where_it_says(monkeypatch, tmp_path):
    monkeypatch.setattr(Sums, "calls", [0])
    found = Sums(out=tmp_path, workers=2, executor="here").answer()
    assert Sums(out=tmp_path, workers=1).answer() == found, "where is no part of what is kept"
    with pytest.raises(ValueError, match=r"unknown executor 'rai'. Did you mean 'ray'"):
        Sums(out=tmp_path / "other", executor="rai").answer()


def test_a_study_of_ones_own_is_a_dotted_path(monkeypatch):
    monkeypatch.setattr(Sums, "calls", [])
    assert "Add numbers" in succeed("study", "test_studies:Sums", "--help")
    assert run("study", "test_studies:Nothing").exit_code == 2


def test_names_and_plain_data():
    assert name_of(Number(0.5)) == "0.5"
    told = plain({"n": Number(float("inf")), "t": (1, True)})
    assert told == {"n": {"value": None}, "t": [1, True]}


def test_what_is_not_installed_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    ended = run("study", "harm", "--networks", "vit")
    assert ended.exit_code == 2
    wanted = "error: network 'vit', unless --networks names others, needs timm: "
    assert ended.stderr.strip() == wanted + 'pip install "l2o[vision]"'
