"""The contract of studies and of speed measurements: options in, one answer out.

A study is a frozen dataclass. Its fields are the options of its command, with their help; its
docstring is the command's. `perform` asks for the answer, prints its tables, draws its pictures and
writes its fields as sealed JSON. A new study is a file here, a line of `STUDIES`, and a test.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from matplotlib.figure import Figure
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from l2o.benchmarks.comparisons.results_file import Failure
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.report.terminal import print_tables
from l2o.benchmarks.studies.options import ExecutorKind, Kept, Workers
from l2o.envs.runtime.executor import in_order
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.envs.runtime.run_lock import run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import append_row, end_torn_row, read_rows
from l2o.files.seals import write_json

CELLS = "cells.jsonl"
REMEDY = "delete that line, and the same command runs what it held again"
Columns = Mapping[str, Callable[[Any], str]]
"""Headings of a table, and what is shown of each row."""

Answer = TypeVar("Answer")
Piece = TypeVar("Piece")
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Study(ABC, Generic[Answer]):
    """A question, and how it is answered.

    Attributes:
        examples: command lines that its help shows.
        title: of its table.
        columns: what the table shows of each row of the answer.
        facts: what its JSON tells beyond options and answer.
    """

    examples: ClassVar[tuple[str, ...]] = ()
    title: ClassVar[str] = ""
    columns: ClassVar[Columns] = {}
    facts: ClassVar[Mapping[str, object]] = {}

    @abstractmethod
    def answer(self) -> Answer:
        """Return what was found: a dataclass, or rows.

        Raises:
            ValueError: an option that asks for what does not exist.
        """

    def tables(self, answer: Answer) -> Sequence[Table]:
        """Return what is printed: by default the rows."""
        if not self.columns:
            return ()
        rows: Any = getattr(answer, "rows", answer)
        return [Table.of(self.title, rows, self.columns)]

    def failures(self, answer: Answer) -> Sequence[Mapping[str, str]]:
        """Return `label` and `error` of each run that is missing."""
        return ()

    def show(self, answer: Answer) -> None:
        """Print the tables, and what is missing."""
        failed = [Failure.model_validate(dict(each)) for each in self.failures(answer)]
        print_tables(self.tables(answer), failed, missing="runs")

    def pictures(self, answer: Answer) -> Mapping[Path, Figure]:
        """Return what is drawn, by the file it is written to."""
        return {}

    def holds(self, answer: Answer) -> bool:
        """Tell whether all is well; the command ends with exit code 1 if not."""
        return True

    def to_json(self, answer: Answer) -> Mapping[str, object]:
        """Return what is written: the options, and the answer's fields, or its rows."""
        found = vars(answer) if is_dataclass(answer) else {"rows": answer}
        return {**options_of(self), **self.facts, **found}

    def write(self, answer: Answer) -> None:
        """Write the answer to the file of the option `json`, sealed, if there is one."""
        if (path := getattr(self, "json", None)) is not None:
            save(path, self.to_json(answer))


@dataclass(frozen=True, kw_only=True)
class SharedStudy(Study[Answer], Generic[Piece, Found, Answer]):
    """A study of many independent pieces of work, shared out over processes.

    Attributes:
        workers: processes; one works in this process.
        executor: where they are; `ray` takes $RAY_ADDRESS, else the cores of this machine.
    """

    workers: Workers = 1
    executor: ExecutorKind = "processes"

    @abstractmethod
    def plan(self) -> Sequence[Piece]:
        """Return the pieces of work."""

    @abstractmethod
    def run(self, piece: Piece) -> Found:
        """Do one, in whatever process."""

    @abstractmethod
    def summarise(self, found: Sequence[Found]) -> Answer:
        """Return the answer of all, in the order of the plan."""

    def answer(self) -> Answer:
        """Run all, and sum it up.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        return self.summarise(list(self.results(self.plan())))

    def results(self, pieces: Sequence[Piece]) -> Iterator[Found]:
        """Yield what was found, in the order of the pieces."""
        with choose_executor(self.executor, max(1, min(self.workers, len(pieces)))) as executor:
            found = in_order(executor.map(self.run, pieces))
            yield from tqdm(found, total=len(pieces), desc="runs", disable=None)


@dataclass(frozen=True, kw_only=True)
class KeptStudy(SharedStudy[Piece, Found, Answer], Generic[Piece, Found, Answer]):
    """A shared study that keeps finished pieces, so that a run which was killed goes on.

    Attributes:
        record: what `run` returns: a dataclass of plain fields; with an `error`, it is run again.
        out: folder of `cells.jsonl`; None keeps nothing.
    """

    record: ClassVar[type[Any]]
    out: Kept = None

    def answer(self) -> Answer:
        """Run what is not kept yet, and sum all up.

        Raises:
            FolderInUseError: another run is at work in the folder.
            DamagedFileError: a line of `cells.jsonl` is not what was written; nothing is changed.
            KeyboardInterrupt: Ctrl-C; finished pieces are kept.
        """
        if self.out is None:
            return super().answer()
        with run_lock(self.out):
            return self.summarise(self._go_on(self.plan(), self.out / CELLS))

    def _go_on(self, pieces: Sequence[Piece], path: Path) -> list[Found]:
        end_torn_row(path, REMEDY)
        kept = read_kept(path, self.record)
        done = {key: one for key, one in kept if not getattr(one, "error", None)}
        left = [piece for piece in pieces if name_of(piece) not in done]
        for piece, found in zip(left, self.results(left), strict=True):
            append_row(path, {**plain(found), "id": name_of(piece)})
            done[name_of(piece)] = found
        return [done[name_of(piece)] for piece in pieces]


def perform(study: Study[Answer]) -> bool:
    """Answer, print, draw and write; return whether all is well."""
    with one_thread():
        answer = study.answer()
    study.show(answer)
    for path, figure in study.pictures(answer).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
        print(path)
    study.write(answer)
    return study.holds(answer)


def name_of(piece: object) -> str:
    """Return what a piece of work is called, the same in every run: the values of its fields.

    Example:
        >>> @dataclass
        ... class Run:
        ...     family: str
        ...     seed: int
        >>> name_of(Run("digits", 3)), name_of("alone")
        ('digits/3', 'alone')
    """
    return "/".join(str(v) for v in vars(piece).values()) if is_dataclass(piece) else str(piece)


def plain(value: Any) -> Any:
    """Return plain JSON data of dataclasses and what they hold; what is not finite is null.

    Example:
        >>> plain({"share": float("nan"), 3: (Path("a"), True)})
        {'share': None, '3': ['a', True]}
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def options_of(study: Study[Any]) -> dict[str, object]:
    """Return the options that decide an answer, by name."""
    named = {each.name: getattr(study, each.name) for each in fields(study)}
    return {name: value for name, value in named.items() if name not in WHERE}


WHERE = ("json", "out", "workers", "executor")
"""Options that say where things are, and change no answer."""


def save(path: Path, answer: object) -> None:
    """Write data as sealed JSON, dataclasses as mappings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, plain(answer))


def read_kept(path: Path, record: type[Found]) -> Iterator[tuple[str, Found]]:
    """Yield names and records of the pieces that a file holds; the last of a name counts.

    Raises:
        DamagedFileError: a line is not what was written, or no record of this study.
    """
    adapter = TypeAdapter(record)
    for number, row in enumerate(read_rows(path, REMEDY), 1):
        try:
            yield str(row["id"]), adapter.validate_python(row)
        except (KeyError, ValidationError) as error:
            reason = f"holds no record of this study in line {number}"
            raise DamagedFileError(path, reason, REMEDY) from error
