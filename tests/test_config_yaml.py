"""YAML by the core rules of 1.2, and nothing but plain data."""

import math

import pytest

from l2o.configs.errors import ConfigError
from l2o.configs.yaml_text import MAX_DEPTH, format_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("3.", 3.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("017", 17),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("~", None),
        ("", None),
        ("null", None),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("'1e-3'", "1e-3"),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ("a:b", "a:b"),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
    ],
)
def test_scalars_read_as_core_yaml(text, value):
    parsed = parse_yaml(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_read():
    assert math.isnan(parse_yaml(".nan", "here"))


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.getcwd []",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!!set {a, b}",
        "!own x",
        "{1: a}",
        "{null: a}",
        "{a: 1, a: 2}",
        "{[1]: 2}",
        "a: b: c",
        "[1",
        "\x00",
        "&x [*x]",
        "*x",
        "a: 1\n---\nb: 2",
        "9" * 5000,
        "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
        "[" * 5000,
        "!!int x",
        "!!bool [1]",
        "!!float {a: 1}",
    ],
)
def test_what_is_not_plain_data_is_an_error_that_says_where(text):
    with pytest.raises(ConfigError, match=r"^here"):
        parse_yaml(text, "here")


def test_documents_that_grow_by_aliases_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="more than"):
        parse_yaml("\n".join(lines), "here")


def test_format_quotes_what_would_not_read_as_text():
    assert format_yaml({"a": "1e-3", "b": "no"}) == "{a: '1e-3', b: no}\n"


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "− é 数", "x\ny", ""])
def test_unicode_survives(text):
    assert parse_yaml(format_yaml({text: [text]}), "test") == {text: [text]}
