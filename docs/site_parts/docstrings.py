"""Docstrings as reStructuredText: they are plain text with Google sections, read by people first.

A formula is an indented block, a code name stands in single backticks, and stars, bars and
underscores mean themselves. Sphinx would read all three as markup of its own.
"""

from __future__ import annotations

import re
from typing import Any

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Example|Examples|Shapes):$")
CODE = re.compile(r"(``.+?``|`[^`]+`)")
EMPHASIS = re.compile(r"(?<![\w*])(\*\w(?:[^*]*\w)?\*)(?![\w*])")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(\(\))?")
MARKUP = re.compile(r"([*|\\_`])")
ITEM = re.compile(r"\s*([-*]|\d+\.) ")


def restructure(lines: list[str]) -> list[str]:
    """Return the lines of a docstring in reStructuredText, its Google sections untouched.

    Example:
        >>> restructure(["The rate:", "", "    a * b", "", "Args:", "    a: with *."])
        ['The rate:', '', '::', '', '    a * b', '', 'Args:', '    a: with \\\\*.']
    """
    done: list[str] = []
    section, block = "", False
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped and not line.startswith(" "):
            match = SECTION.match(stripped)
            section, block = (match[1] if match else ""), False
        elif stripped and not section and not block and _begins_block(lines, number):
            done += ["::", ""]
            block = True
        if block or section.startswith("Example") or stripped.startswith((">>>", "...")):
            done.append(line)
        else:
            done.append(_inline(line))
    return done


def on_docstring(app: Any, kind: str, name: str, what: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place, before napoleon reads its sections."""
    lines[:] = restructure(lines)


def _begins_block(lines: list[str], number: int) -> bool:
    """Tell whether an indented line follows an empty one: what continues an item does not."""
    if number == 0 or lines[number - 1].strip() or not lines[number].startswith("    "):
        return False
    return not ITEM.match(lines[number])


def _inline(line: str) -> str:
    bullet = ITEM.match(line)
    start = bullet.end() if bullet else 0
    read = (
        _code(part) if CODE.fullmatch(part) else _text(part) for part in CODE.split(line[start:])
    )
    # At the end of a line an escape would swallow the line's end, a space between words.
    return line[:start] + "".join(read).removesuffix("\\ ")


def _code(part: str) -> str:
    text = part.strip("`")
    # Escaped spaces vanish; without them code that a letter follows would not end.
    return rf"\ `{text}`\ " if NAME.fullmatch(text) else rf"\ ``{text}``\ "


def _text(part: str) -> str:
    read = (
        each if EMPHASIS.fullmatch(each) else MARKUP.sub(r"\\\1", each)
        for each in EMPHASIS.split(part)
    )
    return "".join(read)
