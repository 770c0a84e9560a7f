"""A function's definition: what is taken, what is refused and how, and its JSON form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidFunctionError
from core.functions import ImageConfig, LambdaFunction, Layer, host_architecture
from core.limits import RESERVED_ENVIRONMENT


def a_function(**changes: Any) -> LambdaFunction:
    fields: dict[str, Any] = {"function_name": "echo", "runtime": "python3.13", "handler": "app.handler"}
    return LambdaFunction(**{**fields, **changes})


def an_image(**changes: Any) -> LambdaFunction:
    fields: dict[str, Any] = {"function_name": "echo", "package_type": "Image", "image_uri": "registry/echo:1"}
    return LambdaFunction(**{**fields, **changes})


def refusal(**changes: Any) -> InvalidFunctionError:
    with pytest.raises(InvalidFunctionError) as caught:
        a_function(**changes)
    return caught.value


def test_lambdas_defaults_apply() -> None:
    function = a_function()
    assert (function.timeout, function.memory_size, function.ephemeral_storage) == (3, 128, 512)
    assert function.package_type == "Zip"
    assert function.architecture == host_architecture()
    assert a_function(architecture=None).architecture == host_architecture()


def test_paths_are_made_absolute_and_may_be_strings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert a_function(code="app.zip").code == tmp_path / "app.zip"
    assert Layer("lib", Path("lib.zip")).content == tmp_path / "lib.zip"
    monkeypatch.setenv("HOME", "/home/someone")
    assert a_function(code=Path("~/app")).code == Path("/home/someone/app")


def test_a_bare_path_is_a_layer_of_that_files_name() -> None:
    function = a_function(layers=["/l/one.zip", Path("/l/two"), Layer("three", Path("/l/3.zip"))])
    assert [each.name for each in function.layers] == ["one", "two", "three"]
    assert function.layers[0].content == Path("/l/one.zip")
    assert isinstance(function.layers, tuple)


def test_mappings_are_copied_and_cannot_be_written() -> None:
    environment = {"GREETING": "hello"}
    function = a_function(environment=environment, tags={"team": "blue"})
    environment["GREETING"] = "bye"
    assert function.environment == {"GREETING": "hello"}
    with pytest.raises(TypeError):
        function.environment["GREETING"] = "bye"  # type: ignore[index]
    with pytest.raises(TypeError):
        function.tags["team"] = "red"  # type: ignore[index]


def test_equal_definitions_are_equal_and_hash_alike() -> None:
    one, other = a_function(environment={"AB": "1"}), a_function(environment={"AB": "1"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != one.replace(timeout=4)


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_a_good_name_is_taken(name: str) -> None:
    assert a_function(function_name=name).function_name == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("function_name", ""),
        ("function_name", "x" * 65),
        ("function_name", "a b"),
        ("function_name", "a.b"),
        ("function_name", "a/../b"),
        ("function_name", "héllo"),
        ("function_name", "echo\n"),
        ("function_name", None),
        ("function_name", 7),
        ("runtime", None),
        ("runtime", ""),
        ("runtime", "python3.99"),
        ("runtime", 3.13),
        ("runtime", ["python3.13"]),
        ("handler", None),
        ("handler", ""),
        ("handler", "app handler"),
        ("handler", "app.\0handler"),
        ("handler", "h" * 129),
        ("package_type", "zip"),
        ("package_type", None),
        ("package_type", ["Zip"]),
        ("code", 5),
        ("code", ""),
        ("code", b"app.zip"),
        ("code", "a\0b"),
        ("code", "\udcff.zip"),
        ("image_uri", "registry/echo:1"),
        ("image_config", ImageConfig()),
        ("timeout", 0),
        ("timeout", 901),
        ("timeout", 3.0),
        ("timeout", "3"),
        ("timeout", True),
        ("timeout", 10**400),
        ("max_instances", 10**400),
        ("idle_ttl", 10**400),
        ("timeout", None),
        ("memory_size", 127),
        ("memory_size", 10_241),
        ("memory_size", float("nan")),
        ("ephemeral_storage", 511),
        ("ephemeral_storage", 10_241),
        ("architecture", "x86"),
        ("architecture", ["arm64"]),
        ("layers", "one.zip"),
        ("layers", None),
        ("layers", {"a": "b"}),
        ("layers", [1]),
        ("layers", [""]),
        ("layers", [f"{n}.zip" for n in range(6)]),
        ("environment", None),
        ("environment", ["A=b"]),
        ("environment", {"AB": 1}),
        ("environment", {"AB": "a\0b"}),
        ("environment", {"AB": "\ud800"}),
        ("environment", {1: "a"}),
        ("environment", {"": "a"}),
        ("environment", {"A": "one letter"}),
        ("environment", {"1AB": "a"}),
        ("environment", {"_AB": "a"}),
        ("environment", {"A-B": "a"}),
        ("environment", {"A=B": "a"}),
        ("environment", {"AB\n": "a"}),
        ("tags", {"a": 1}),
        ("tags", {"": "a"}),
        ("tags", {"k" * 129: "a"}),
        ("tags", {"a": "v" * 257}),
        ("tags", {"aws:x": "a"}),
        ("tags", {"a": "<b>"}),
        ("tags", {str(n): "" for n in range(51)}),
        ("tags", None),
        ("description", "d" * 257),
        ("description", None),
        ("backend", ""),
        ("backend", 1),
        ("max_instances", 0),
        ("max_instances", 1.5),
        ("idle_ttl", -1),
        ("idle_ttl", float("inf")),
        ("idle_ttl", float("nan")),
        ("idle_ttl", "5"),
        ("min_warm", -1),
        ("min_warm", None),
        ("record_payloads", "no"),
    ],
)
def test_a_bad_value_is_refused_by_field_value_and_rule(field: str, value: object) -> None:
    error = refusal(**{field: value})
    assert error.field == field
    assert error.rule
    assert str(error).startswith(f"{field} = ")


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout": 1},
        {"timeout": 900},
        {"memory_size": 128},
        {"memory_size": 10_240},
        {"ephemeral_storage": 10_240},
        {"handler": "h" * 128},
        {"description": "d" * 256},
        {"layers": [f"/{n}.zip" for n in range(5)]},
        {"tags": {str(n): "" for n in range(50)}},
        {"tags": {"Äpfel und Birnen": "a_.:/=+-@ 1"}},
        {"environment": {"AB": "x" * 4094}},
        {"environment": {"TZ": "UTC", "PATH": "/x", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/w"}},
        {"max_instances": 3, "min_warm": 3},
        {"idle_ttl": 0},
        {"code": None},
        {"runtime": "python2.7"},
    ],
)
def test_values_at_the_limits_are_taken(changes: dict[str, Any]) -> None:
    function = a_function(**changes)
    assert LambdaFunction.from_json(function.to_json()) == function


def test_four_kilobytes_of_environment_are_counted_in_bytes_over_names_and_values() -> None:
    assert refusal(environment={"AB": "x" * 4095}).field == "environment"
    assert refusal(environment={"AB": "é" * 2048}).field == "environment"
    assert "4,097 bytes" in str(refusal(environment={"AB": "x" * 2000, "CD": "x" * 2093}))


@pytest.mark.parametrize("name", sorted(RESERVED_ENVIRONMENT))
def test_a_reserved_environment_name_is_refused_as_reserved(name: str) -> None:
    error = refusal(environment={name: "x"})
    assert error.value == name
    assert "reserved" in error.rule


def test_an_unknown_runtime_is_refused_with_the_nearest_ones() -> None:
    assert "python3.15" in refusal(runtime="python3.16").rule


def test_min_warm_cannot_exceed_max_instances() -> None:
    assert refusal(max_instances=2, min_warm=3).field == "min_warm"


def test_an_image_function_needs_its_image_and_takes_settings_for_it() -> None:
    function = an_image(image_config=ImageConfig(entry_point=["/e"], command=["a", "b"]))  # type: ignore[arg-type]
    assert function.image_config == ImageConfig(("/e",), ("a", "b"))
    assert function.runtime_info is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_uri", None),
        ("image_uri", ""),
        ("image_uri", "--privileged"),
        ("image_uri", "a b"),
        ("image_config", {"command": ["a"]}),
        ("layers", ["/l.zip"]),
        ("runtime", "python3.13"),
        ("handler", "app.handler"),
        ("code", "/c.zip"),
    ],
)
def test_an_image_function_is_refused_what_is_for_zips(field: str, value: object) -> None:
    with pytest.raises(InvalidFunctionError) as caught:
        an_image(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [("entry_point", "sh"), ("command", [1]), ("command", ["a\0"]), ("working_directory", "w" * 1001)],
)
def test_bad_image_settings_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidFunctionError) as caught:
        ImageConfig(**{field: value})
    assert caught.value.field == f"image_config.{field}"


@pytest.mark.parametrize(("name", "content"), [("", "/l"), ("n" * 257, "/l"), (None, "/l"), ("ok", None)])
def test_a_bad_layer_is_refused(name: Any, content: Any) -> None:
    with pytest.raises(InvalidFunctionError, match="layers"):
        Layer(name, content)


def test_replace_checks_anew_and_knows_its_fields() -> None:
    function = a_function(environment={"AB": "1"})
    assert function.replace(timeout=10).timeout == 10
    assert function.replace(timeout=10).environment == {"AB": "1"}
    with pytest.raises(InvalidFunctionError, match="timeout"):
        function.replace(timeout=0)
    with pytest.raises(InvalidFunctionError, match="no such field"):
        function.replace(time_out=5)


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    "environment",
    [
        {"AB": SECRET, "1": "x"},
        {"AB": SECRET + "\0"},
        {"AB": SECRET * 500},
        {"AB": SECRET + "\ud800"},
        {"AWS_REGION": SECRET},
    ],
)
def test_no_refusal_shows_an_environment_value(environment: dict[str, str]) -> None:
    error = refusal(environment=environment)
    assert SECRET not in str(error)
    assert SECRET not in repr(error.value)
    with pytest.raises(InvalidFunctionError) as caught:
        a_function(environment=[SECRET])
    assert SECRET not in str(caught.value)


def test_repr_shows_no_environment_value() -> None:
    function = a_function(environment={"PASSWORD": SECRET})
    assert SECRET not in repr(function)
    assert "echo" in repr(function)


names = st.text("abcXYZ019-_", min_size=1, max_size=64)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
words = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40)
variables = st.dictionaries(st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{1,12}", fullmatch=True), texts, max_size=5).filter(
    lambda found: not RESERVED_ENVIRONMENT & set(found)
)
labels = st.dictionaries(st.text("abc é/:", min_size=1), st.text("xyz 9@", max_size=20), max_size=4)
paths = words.map(lambda word: Path("/", word))
pool = {
    "timeout": st.integers(1, 900),
    "memory_size": st.integers(128, 10_240),
    "ephemeral_storage": st.integers(512, 10_240),
    "architecture": st.sampled_from(["x86_64", "arm64"]),
    "environment": variables,
    "tags": labels,
    "description": texts,
    "backend": st.none() | words,
    "max_instances": st.none() | st.integers(5, 100),
    "min_warm": st.integers(0, 5),
    "idle_ttl": st.none() | st.floats(0, 1e6) | st.integers(0, 1000),
    "record_payloads": st.booleans(),
}
zips = st.builds(
    LambdaFunction,
    function_name=names,
    runtime=st.sampled_from(["python3.13", "nodejs", "provided.al2023"]),
    handler=words,
    code=st.none() | paths,
    layers=st.lists(st.builds(Layer, words, paths), max_size=5),
    **pool,
)
strings = st.lists(texts, max_size=3).map(tuple)
images = st.builds(
    LambdaFunction,
    function_name=names,
    package_type=st.just("Image"),
    image_uri=st.sampled_from(["a", "registry:5000/a/b@sha256:00"]),
    image_config=st.none()
    | st.builds(
        ImageConfig,
        entry_point=strings,
        command=strings,
        working_directory=st.none() | words,
    ),
    **pool,
)


@given(zips | images)
def test_json_gives_back_an_equal_definition(function: LambdaFunction) -> None:
    back = LambdaFunction.from_json(function.to_json())
    assert back == function
    assert back.to_json() == function.to_json()
    assert type(back.environment) is type(function.environment)


def test_keys_of_a_newer_version_are_ignored() -> None:
    document = json.loads(a_function(layers=["/l.zip"]).to_json())
    document["snap_start"] = {"on": True}
    document["layers"][0]["digest"] = "00"
    assert LambdaFunction.from_json(json.dumps(document)) == a_function(layers=["/l.zip"])


def test_a_document_of_an_older_version_gets_the_defaults() -> None:
    text = '{"function_name": "echo", "runtime": "python3.13", "handler": "app.handler"}'
    assert LambdaFunction.from_json(text.encode()) == a_function()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "document"),
        ("{", "document"),
        ("[]", "document"),
        ("null", "document"),
        (b"\xff\xfe", "document"),
        ("{}", "function_name"),
        ('{"function_name": "a b", "runtime": "python3.13", "handler": "h"}', "function_name"),
        ('{"function_name": "a", "runtime": "python3.13", "handler": "h", "timeout": "3"}', "timeout"),
        ('{"function_name": "a", "layers": [{"name": "l"}]}', "layers.0.content"),
        (
            '{"function_name": "a", "runtime": "python3.13", "handler": "h", "layers": [{"name": "", "content": "/"}]}',
            "layers",
        ),
        (
            '{"function_name": "a", "runtime": "python3.13", "handler": "h", "environment": {"AWS_REGION": "x"}}',
            "environment",
        ),
        ("[" * 5000, "document"),
    ],
)
def test_a_broken_document_is_refused_by_field(text: str | bytes, field: str) -> None:
    with pytest.raises(InvalidFunctionError) as caught:
        LambdaFunction.from_json(text)
    assert caught.value.field == field


def test_a_broken_document_does_not_show_its_environment() -> None:
    document = {
        "function_name": "a",
        "runtime": "python3.13",
        "handler": "h",
        "environment": {"PASSWORD": [SECRET]},
        "tags": SECRET,
    }
    for text in (json.dumps(document), json.dumps(document)[:-2]):
        with pytest.raises(InvalidFunctionError) as caught:
            LambdaFunction.from_json(text)
        assert SECRET not in str(caught.value)


@given(
    st.text() | st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | texts, st.lists).map(json.dumps)
)
def test_whatever_is_read_nothing_but_a_refusal_comes_out(text: str | bytes) -> None:
    with pytest.raises(InvalidFunctionError):
        LambdaFunction.from_json(text)
