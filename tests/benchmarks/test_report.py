"""The table of the benchmarks judges figures by their budgets."""

from __future__ import annotations

import pytest

from tests.benchmarks.report import Figure, percentile, print_table


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("a", 1.2, "ms", at_most=1.2), True),
        (Figure("a", 1.21, "ms", at_most=1.2), False),
        (Figure("a", 200.0, "MB/s", at_least=200.0), True),
        (Figure("a", 199.0, "MB/s", at_least=200.0), False),
        (Figure("a", 5.0, "ms"), None),
        (Figure("a", None, "ms", at_most=1.0, note="skipped"), None),
    ],
)
def test_a_budget_is_met_up_to_and_including_its_limit(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_percentiles_are_values_that_were_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]


def test_the_table_says_which_budget_is_not_met(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Figure("fast", 0.5, "ms", at_most=1.0), Figure("slow", 1234.0, "ms", at_most=1.0, note="why")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["fast", "0.50", "ms", "<=", "1.00", "met"]
    assert lines[3].split() == ["slow", "1,234", "ms", "<=", "1.00", "NOT", "MET", "why"]
