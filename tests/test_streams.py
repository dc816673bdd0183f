"""Output that a terminal's encoding cannot show."""

import io
import sys

import pytest
from rich.console import Console

from l2o.benchmarks.comparisons.results_file import Failure
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.report.terminal import print_tables
from l2o.files.streams import forgive_encodings


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "latin-1"])
def test_tables_and_messages_are_shown_in_any_encoding(encoding, monkeypatch):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, name, stream)
    forgive_encodings()
    print("5 − 3 ± 1 × ψ \udcff")
    print("schade: ▏", file=sys.stderr)
    table = Table("Δ accuracy", ("row", "− ±"), (("naïve", "−1.0 [−2.0, 0.0]"),))
    print_tables([table], [Failure(label="×", error="“ψ”")], Console(width=80))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        assert stream.buffer.getvalue()
    assert b"accuracy" in sys.stdout.buffer.getvalue()


def test_streams_that_raise_nothing_stay_as_they_are(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    forgive_encodings()
    assert stream.errors == "backslashreplace"
