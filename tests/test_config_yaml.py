"""YAML by the core rules of 1.2, and nothing but plain data."""

import math

import pytest
import yaml

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
        (".5e3", 500.0),
        ("-.5e+3", -500.0),
        ("=", "="),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("%YAML 1.1\n---\non", "on"),
        ("%YAML 1.1\n---\n017", 17),
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
        "!!bool maybe",
        "!!int ''",
        "!!timestamp 2001-12-14",
        "0x" + "f" * 5000,
        "{<<: {a: 1}, <<: {b: 2}}",
        "{a: [{b: 1, b: 2}]}",
    ],
)
def test_what_is_not_plain_data_is_an_error_that_says_where(text):
    with pytest.raises(ConfigError, match=r"^here"):
        parse_yaml(text, "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "line 2, column 11: not usable YAML: key 'c' is given twice"),
        ("a: 1\n2: 3", "line 2, column 1: not usable YAML: key 2 must be text; put it in quotes"),
        ("{[1]: 2}", "line 1, column 2: .*key of several values must be text"),
        ("a: !!bool maybe", "line 1, column 4: .*'maybe' does not fit its tag .*bool"),
        ("a: !!set {b}", "line 1, column 4: .*only plain values are allowed, .*set"),
        ("a: 1\n b: 2", "line 2, column 3: not usable YAML: mapping values are not allowed here"),
    ],
)
def test_errors_name_line_and_column(text, said):
    with pytest.raises(ConfigError, match=rf"^here, {said}"):
        parse_yaml(text, "here")


def test_documents_that_grow_by_aliases_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="more than"):
        parse_yaml("\n".join(lines), "here")


def test_format_quotes_what_would_not_read_as_text():
    assert format_yaml({"a": "1e-3", "b": "no"}) == "{a: '1e-3', b: no}\n"


@pytest.mark.parametrize("number", [1e-5, -2.5e300, 1e22, 5e-324, math.inf, -math.inf, -0.0])
def test_numbers_read_back_equal_here_and_by_rules_of_yaml_1_1(number):
    text = format_yaml({"a": number})
    for read in (parse_yaml(text, "test"), yaml.safe_load(text)):
        assert repr(read) == repr({"a": number})


@pytest.mark.parametrize(
    "text",
    ["017", "1_000", "0b1", "-0x1", ".5e3", "2020-01-01", "<<", "=", "null", "~", "- x", "#"],
)
def test_text_that_looks_like_something_else_reads_back_as_text(text):
    assert parse_yaml(format_yaml({text: [text]}), "test") == {text: [text]}


def test_short_lists_stay_on_one_line_and_no_line_ends_in_a_space():
    words = ["some words of text"] * 5
    text = format_yaml({"short": words[:2], "long": words, "one": " ".join(words * 3)})
    assert text.splitlines()[:3] == [
        "short: [some words of text, some words of text]",
        "long:",
        "- some words of text",
    ]
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_no_aliases_are_written():
    shared = [1]
    assert format_yaml({"b": shared, "a": shared}) == "b: [1]\na: [1]\n"


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "− é 数", "x\ny", ""])
def test_unicode_survives(text):
    assert parse_yaml(format_yaml({text: [text]}), "test") == {text: [text]}
