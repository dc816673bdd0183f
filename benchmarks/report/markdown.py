"""Tables as Markdown, for READMEs and pull requests."""

from __future__ import annotations

from l2o.benchmarks.report.tables import Table


def to_markdown(table: Table) -> str:
    """Return a GitHub-flavoured Markdown table with its note.

    Example:
        >>> print(to_markdown(Table("", ("", "score"), [("a|b", "1")])))
        |  | score |
        |---|---:|
        | a\\|b | 1 |
        <BLANKLINE>
    """
    lines = [_line(table.columns), "|---|" + "---:|" * (len(table.columns) - 1)]
    for index, row in enumerate(table.rows):
        cells = [_escape(cell) for cell in row]
        lines.append(_line([f"**{cell}**" for cell in cells] if index in table.strong else cells))
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines) + "\n"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
