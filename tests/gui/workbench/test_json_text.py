"""JSON problems in words, with their place, and a layout that changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.workbench.json_text import check_json, format_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ('{"a": 1,}', 1, 8, "one comma too many before }"),
        ('{\n  "a": [1, 2,]\n}', 2, 13, "one comma too many before ]"),
        ('{"a": True}', 1, 7, "JSON writes true, not True"),
        ("{'a': 1}", 1, 2, "JSON wants double quotes"),
        ('{"a" 1}', 1, 6, "a colon is missing after the name"),
        ('{"a": 1 "b": 2}', 1, 9, "a comma or a closing bracket is missing"),
        ('{"a": 1', 1, 8, "a closing bracket is missing"),
        ('{"a": "b', 1, 7, "the closing quote is missing"),
        ('{"a": NaN}', 1, 7, "NaN is not JSON"),
        ("{} {}", 1, 4, "the JSON ends before this"),
        ('"\\q"', 1, 2, "the backslash begins no escape that JSON knows"),
    ],
)
def test_what_is_wrong_is_said_in_words_with_its_place(text: str, line: int, column: int, reason: str) -> None:
    problem = check_json(text)
    assert problem is not None
    assert (problem.line, problem.column, problem.reason) == (line, column, reason)
    assert str(problem) == f"line {line}, column {column}: {reason}"


def test_nesting_without_end_is_a_problem_and_not_a_crash() -> None:
    problem = check_json("[" * 200_000)
    assert problem is not None


@given(VALUES)
def test_the_layout_of_any_value_reads_back_the_same_and_stays_as_it_is(value: object) -> None:
    text = json.dumps(value)
    laid_out = format_json(text)
    assert json.loads(laid_out) == value
    assert format_json(laid_out) == laid_out
    assert laid_out == json.dumps(value, indent=2)


def test_numbers_escapes_and_double_names_stay_as_they_were_typed() -> None:
    text = '{"a":1.50e+3,"a":"\\u00e9\\/","b":[],"c":{ },"d":[1,{"e":null}]}'
    assert format_json(text) == (
        '{\n  "a": 1.50e+3,\n  "a": "\\u00e9\\/",\n  "b": [],\n  "c": {},\n'
        '  "d": [\n    1,\n    {\n      "e": null\n    }\n  ]\n}'
    )
