"""The table of Lambda's runtime identifiers."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from core.errors import InvalidFunctionError
from core.runtimes import RuntimeFamily, known_runtimes, runtime_of


@pytest.mark.parametrize(
    ("identifier", "family", "version", "image"),
    [
        ("python3.13", RuntimeFamily.PYTHON, "3.13", "public.ecr.aws/lambda/python:3.13"),
        ("nodejs22.x", RuntimeFamily.NODEJS, "22", "public.ecr.aws/lambda/nodejs:22"),
        ("java8.al2", RuntimeFamily.JAVA, "8", "public.ecr.aws/lambda/java:8.al2"),
        ("dotnet10", RuntimeFamily.DOTNET, "10", "public.ecr.aws/lambda/dotnet:10"),
        ("ruby3.4", RuntimeFamily.RUBY, "3.4", "public.ecr.aws/lambda/ruby:3.4"),
        ("go1.x", RuntimeFamily.GO, "1", "public.ecr.aws/lambda/go:1"),
        ("provided.al2023", RuntimeFamily.PROVIDED, "al2023", "public.ecr.aws/lambda/provided:al2023"),
        ("nodejs4.3", RuntimeFamily.NODEJS, "4.3", None),
    ],
)
def test_an_identifier_names_family_version_and_base_image(
    identifier: str, family: RuntimeFamily, version: str, image: str | None
) -> None:
    runtime = runtime_of(identifier)
    assert (runtime.family, runtime.version, runtime.base_image) == (family, version, image)


def test_a_runtime_is_deprecated_from_the_day_its_support_ends() -> None:
    runtime = runtime_of("nodejs20.x")
    assert not runtime.is_deprecated(date(2026, 4, 29))
    assert runtime.is_deprecated(date(2026, 4, 30))


def test_what_is_deprecated_late_in_2026() -> None:
    day = date(2026, 11, 24)
    deprecated = {each.identifier for each in known_runtimes() if each.is_deprecated(day)}
    assert {"python3.9", "python3.10", "nodejs18.x", "nodejs20.x", "ruby3.2", "dotnet8", "java8", "go1.x"} <= deprecated
    assert {"provided", "provided.al2"} <= deprecated
    assert not {"python3.11", "python3.15", "nodejs22.x", "nodejs26.x", "java11", "provided.al2023"} & deprecated


def test_a_deprecated_runtime_can_still_be_had() -> None:
    assert runtime_of("python2.7").deprecated


@pytest.mark.parametrize(
    ("wrong", "hint"), [("python3.16", "python3.15"), ("Python3.13", "python3.13"), ("nodejs22", "nodejs22.x")]
)
def test_an_unknown_identifier_is_refused_with_the_nearest_known(wrong: str, hint: str) -> None:
    with pytest.raises(InvalidFunctionError, match="nearest") as caught:
        runtime_of(wrong)
    assert hint in caught.value.rule
    assert (caught.value.field, caught.value.value) == ("runtime", wrong)


def test_an_identifier_like_nothing_known_is_refused_with_examples() -> None:
    with pytest.raises(InvalidFunctionError, match=r"provided\.al2023"):
        runtime_of("cobol")


def test_every_identifier_of_the_installed_aws_model_is_known() -> None:
    botocore = pytest.importorskip("botocore", reason="boto3 is an extra")
    model = Path(botocore.__file__).parent / "data/lambda/2015-03-31/service-2.json.gz"
    listed = set(json.loads(gzip.decompress(model.read_bytes()))["shapes"]["Runtime"]["enum"])
    assert listed - {"custom"} <= {each.identifier for each in known_runtimes()}
