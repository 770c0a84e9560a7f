"""Documents with a zip in them, as clients of all kinds write them."""

from __future__ import annotations

import base64
import json
import random
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.endpoint.support import ask, definition
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]

FUNCTIONS = "/2015-03-31/functions"
# long enough to be cut out of its document, and with every sign of base64 in it
ZIP = a_zip(
    {"app.py": "def handler(event, context): ...", "b": random.Random(1).randbytes(200_000)}, zipfile.ZIP_STORED
)
TEXT = base64.b64encode(ZIP).decode()


def document(text: str = TEXT, **members: Any) -> str:
    return json.dumps({**definition("up", **members), "Code": {"ZipFile": text}})


@pytest.mark.parametrize(
    "written",
    [
        document(),
        document().replace('"ZipFile": "', '"ZipFile"\n:\t"'),
        document().replace("/", "\\/"),
        document().replace("+", "\\u002B"),
        document().replace(TEXT[100_000:100_010], "".join(f"\\u{ord(sign):04x}" for sign in TEXT[100_000:100_010])),
        document(Description='"ZipFile": "' + "x" * 200),
        json.dumps({"Other": {"ZipFile": "y" * 100_000}, **json.loads(document())}),
        json.dumps({**json.loads(document()), "Other": {"ZipFile": "y" * 100_000}}),
        json.dumps({'odd"ZipFile': "y" * 100_000, **json.loads(document())}),
    ],
    ids=["plain", "spaced", "slashes", "plus", "escapes", "named", "before", "behind", "quoted"],
)
async def test_a_zip_arrives_as_it_was_however_it_is_written(
    endpoint: Endpoint, runtime: LambdaRuntime, call: Call, written: str
) -> None:
    status, _, body = await call(ask, endpoint.url, "POST", FUNCTIONS, written.encode())
    assert status == 201, body
    code = runtime.deploy("up").code
    assert code is not None
    assert code.path.read_bytes() == ZIP
    assert runtime.function("up").description == json.loads(written).get("Description", "")


@pytest.mark.parametrize(
    ("written", "status", "code"),
    [
        (document(TEXT[:-7]), 400, "SerializationException"),
        (document(f"{TEXT[:100_000]}*{TEXT[100_001:]}"), 400, "SerializationException"),
        (document(f"{TEXT[: 1024 * 1024 - 2]}==" + TEXT), 400, "SerializationException"),
        (document("*"), 400, "SerializationException"),
        (document("\ud800"), 400, "SerializationException"),
        (document().replace(TEXT[5:9], "\\x"), 400, "SerializationException"),
        (document()[:-200_000], 400, "SerializationException"),
        (json.dumps({**json.loads(document()), "Code": {"ZipFile": 7}}), 400, "SerializationException"),
        (document(Description="d" * 2_000_000), 413, "RequestEntityTooLargeException"),
        ("[]", 400, "SerializationException"),
        ("", 400, "ValidationException"),
    ],
    ids=["short", "sign", "middle", "small", "surrogate", "escape", "cut", "number", "large", "list", "nothing"],
)
async def test_what_is_no_document_with_a_zip_is_refused(
    endpoint: Endpoint, runtime: LambdaRuntime, call: Call, written: str, status: int, code: str
) -> None:
    found, headers, body = await call(ask, endpoint.url, "POST", FUNCTIONS, written.encode())
    assert (found, headers["x-amzn-errortype"]) == (status, code), body
    assert json.loads(body)["Type"] == "User"
    assert runtime.functions() == []
