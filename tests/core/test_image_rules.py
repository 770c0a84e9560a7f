"""Rules that put one image's name in another's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidSettingError
from core.image_rules import ImageRules
from core.settings import Settings, load_settings, save_settings

AWS = "public.ecr.aws/lambda/python:3.13"
PRIVATE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/words@sha256:0a"


def test_the_first_rule_that_fits_the_whole_name_is_used_once() -> None:
    rules = ImageRules(
        [
            "public.ecr.aws/lambda/* => mirror.example/lambda/{1}",
            "mirror.example/* => never.example/{1}",
            "public.ecr.aws/* => too.late/{1}",
            "*.dkr.ecr.*.amazonaws.com/* => localhost:5000/{3}",
        ]
    )
    assert rules.apply(AWS) == "mirror.example/lambda/python:3.13"
    assert rules.apply(PRIVATE) == "localhost:5000/team/words@sha256:0a"
    assert rules.apply("words:1") == "words:1"
    assert rules.apply("a public.ecr.aws/lambda/x") == "a public.ecr.aws/lambda/x"


def test_signs_that_mean_something_in_patterns_of_other_kinds_mean_themselves() -> None:
    rules = ImageRules(["a.b+c[d]/* => {1}.\\1:x"])
    assert rules.apply("a.b+c[d]/y") == "y.\\1:x"
    assert rules.apply("aXb+c[d]/y") == "aXb+c[d]/y"


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("words", "=>"),
        ("=> b", "=>"),
        ("a =>", "=>"),
        ("a => {1}", "number 1"),
        ("* => {2}", "number 2"),
        ("a b => c", "space"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_what_is_wrong(rule: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        ImageRules([rule])
    with pytest.raises(InvalidSettingError, match=wrong):
        Settings(image_rules=(rule,))


def test_rules_are_kept_with_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings = Settings(image_rules=("a/* => b/{1}",))
    save_settings(path, settings)
    assert load_settings(path) == settings
    path.write_text('{"image_rules": "a => b"}')
    with pytest.raises(InvalidSettingError, match="list of texts"):
        load_settings(path)
