"""Names of functions and layers as requests write them."""

from __future__ import annotations

import pytest

from core.errors import InvalidRequestError
from core.names import (
    LATEST,
    LayerTarget,
    Target,
    function_arn,
    key_of,
    layer_arn,
    parse_function,
    parse_layer_version,
    split_key,
)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("words", Target("words")),
        ("words:live", Target("words", "live")),
        ("words:3", Target("words", "3")),
        ("words:$LATEST", Target("words", LATEST)),
        ("function:words", Target("words")),
        ("123456789012:function:words", Target("words")),
        ("123456789012:function:words:live", Target("words", "live")),
        ("arn:aws:lambda:eu-central-1:123456789012:function:words", Target("words")),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:words:7", Target("words", "7")),
        ("us-east-1:123456789012:function:words", Target("words")),
        ("us-gov-west-1:function:words:live", Target("words", "live")),
        ("arn:aws:lambda:123456789012:function:words", Target("words")),
        ("arn::lambda:us-east-1:123456789012:function:words", Target("words")),
        ("us-east-1:live", Target("us-east-1", "live")),
        ("123456789012", Target("123456789012")),
        ("n" * 64, Target("n" * 64)),
    ],
)
def test_every_form_that_aws_takes_names_the_function(value: str, found: Target) -> None:
    assert parse_function(value) == found


@pytest.mark.parametrize(
    "value",
    ["", "a b", "n" * 65, "../etc", "words:", ":live", "words:a:b", "words:a b", "arn:aws:s3:::bucket",
     "arn:aws:lambda", "arn:aws:lambda:us-east-1:123456789012:words", "us-east-1:123456789012:words",
     "somewhere:123456789012:function:words", "us-east-1:words:live", f"{chr(0x660) * 12}:function:words",
     "words\n", "wörter", "words:$latest"],
)  # fmt: skip
def test_what_is_no_function_name_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="FunctionName"):
        parse_function(value)


def test_a_qualifier_may_stand_in_the_name_or_beside_it_but_they_must_agree() -> None:
    assert parse_function("words", "live") == Target("words", "live")
    assert parse_function("words:live", "live") == Target("words", "live")
    with pytest.raises(InvalidRequestError, match="already says live"):
        parse_function("words:live", "3")


@pytest.mark.parametrize("qualifier", ["", "a b", "q" * 129, "$OLDEST", "x\n"])
def test_a_bad_qualifier_is_refused(qualifier: str) -> None:
    with pytest.raises(InvalidRequestError, match="Qualifier"):
        parse_function("words", qualifier)


def test_arns_are_read_back_as_what_they_were_made_of() -> None:
    assert parse_function(function_arn("words", "live")) == Target("words", "live")
    assert parse_function(function_arn("words")) == Target("words")
    assert parse_layer_version(layer_arn("fonts", 12)) == LayerTarget("fonts", 12)
    assert parse_layer_version("fonts") == LayerTarget("fonts")


@pytest.mark.parametrize("value", ["", "fonts:x", "a/b", "arn:aws:lambda:us-east-1:1:layer:fonts", "n" * 141])
def test_what_is_no_layer_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="LayerName"):
        parse_layer_version(value)


@pytest.mark.parametrize(("name", "version"), [("words", LATEST), ("words", "1"), ("words", "12")])
def test_a_key_is_split_into_what_it_was_made_of(name: str, version: str) -> None:
    assert split_key(key_of(name, version)) == (name, version)
