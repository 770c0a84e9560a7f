"""Function URLs over real sockets, with buffered functions on real processes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from core.endpoint.endpoint import Endpoint
from core.events import CallEnded, InvocationStarted
from core.registry import Alias, Reserved, UrlConfig
from core.runtime import LambdaRuntime
from tests.core.endpoint.url_functions import Answer, ask, connect, put_python, reset

PAGE = "https://www.example.com"
TEXT = {"content-type": "application/json"}


async def reply_of(endpoint: Endpoint, reply: Any, method: str = "POST", **more: Any) -> Answer:
    """What comes of a function that replies this."""
    return await ask(endpoint.url, "/_url/echo/reply", method, json.dumps(reply), TEXT, **more)


async def test_a_request_runs_the_function_and_its_reply_is_the_response(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    answer = await ask(
        endpoint.url,
        "/_url/echo/a%2Fb/c?q=1&q=2",
        "POST",
        '{"é": 1}',
        {**TEXT, "Cookie": "a=1; b=2", "X-Custom": "yes", "User-Agent": "test/1"},
    )
    assert answer.status == 200
    assert answer.all("content-type") == ["application/json"]
    found = answer.json()
    event = found["event"]
    assert event["rawPath"] == "/a%2Fb/c"
    assert event["queryStringParameters"] == {"q": "1,2"}
    assert event["body"] == '{"é": 1}'
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-custom"] == "yes"
    assert event["headers"]["x-forwarded-port"] == endpoint.url.rpartition(":")[2]
    assert event["requestContext"]["http"]["userAgent"] == "test/1"
    assert event["requestContext"]["domainName"] == endpoint.url.removeprefix("http://")
    # one id for the event, the context, the response and the log
    assert answer.all("x-amzn-requestid") == [found["request_id"]] == [event["requestContext"]["requestId"]]
    assert answer.all("x-amzn-trace-id")[0].startswith(event["headers"]["x-amzn-trace-id"] + ";Parent=")
    assert found["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:echo"


@pytest.mark.parametrize("path", ["/_url/echo", "/_url/echo/", "/_url/echo?a=1", "/_url/echo:$LATEST/", "/_url/%65cho"])
async def test_the_root_of_a_url_may_be_written_in_several_ways(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, path: str
) -> None:
    await put_python(runtime, tmp_path)
    answer = await ask(endpoint.url, path)
    assert answer.json()["event"]["rawPath"] == "/"
    assert answer.json()["event"]["requestContext"]["apiId"] == "echo"


async def test_status_headers_and_cookies_are_the_functions(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    answer = await reply_of(
        endpoint,
        {
            "statusCode": 201,
            "headers": {"Content-Type": "text/html", "X-Amzn-RequestId": "forged", "Content-Length": "3"},
            "cookies": ["a=1; Path=/", "b=2"],
            "body": "<p>é</p>",
        },
    )
    assert answer.status == 201
    assert answer.body.decode() == "<p>é</p>"
    assert answer.all("content-type") == ["text/html"]
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2"]
    assert answer.all("content-length") == ["9"]
    assert answer.all("x-amzn-remapped-content-length") == ["3"]
    assert len(answer.all("x-amzn-requestid")) == 1
    assert "forged" not in answer.all("x-amzn-requestid")


async def test_bytes_go_both_ways_unchanged(endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            return {"statusCode": 200, "headers": {"content-type": "image/png"}, "body": event["body"],
                    "isBase64Encoded": event["isBase64Encoded"]}
    """
    await put_python(runtime, tmp_path, source)
    everything = bytes(range(256)) * 4000
    answer = await ask(endpoint.url, "/_url/echo/", "PUT", everything, {"content-type": "image/png"})
    assert answer.body == everything
    assert answer.all("content-type") == ["image/png"]


@pytest.mark.parametrize(("reply", "body"), [({"a": "é"}, '{"a":"é"}'), ("hello", "hello"), ([1, True], "[1,true]")])
async def test_a_reply_without_a_status_is_the_body(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, reply: Any, body: str
) -> None:
    await put_python(runtime, tmp_path)
    answer = await reply_of(endpoint, reply)
    assert (answer.status, answer.all("content-type")) == (200, ["application/json"])
    assert answer.body.decode() == body


async def test_a_malformed_reply_is_502_and_the_reason_is_told(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    ended: list[CallEnded] = []
    runtime.events.subscribe(lambda event: ended.append(event) if isinstance(event, CallEnded) else None)
    for reply in ({"statusCode": "no"}, {"statusCode": 200, "headers": {"x-a": "b\r\nset-cookie: c=1"}}):
        answer = await reply_of(endpoint, reply)
        assert (answer.status, answer.body) == (502, b"Internal Server Error")
        assert answer.all("set-cookie") == []
        assert answer.all("x-stoker-reason")[0].startswith("its ")
    assert (await reply_of(endpoint, {"statusCode": 200})).status == 200
    assert len(runtime.instances()) == 1
    assert [(each.status, each.error) for each in ended[:2]] == [(502, "Function.InvalidResponse")] * 2
    assert ended[0].function_name == "echo"


@pytest.mark.parametrize(
    "source",
    [
        "def handler(event, context):\n    raise ValueError('a secret')\n",
        "import os\ndef handler(event, context):\n    os._exit(3)\n",
        "raise ValueError('init')\n",
        "def handler(event, context):\n    return 'x' * 7_000_000\n",
        "import time\ndef handler(event, context):\n    time.sleep(60)\n",
    ],
    ids=["error", "exit", "init error", "too large", "timeout"],
)
async def test_what_a_function_does_wrong_is_502(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, source: str
) -> None:
    await put_python(runtime, tmp_path, source, fields={"timeout": 1})
    answer = await ask(endpoint.url, "/_url/echo/")
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert len(answer.all("x-amzn-requestid")) == 1


async def test_a_function_whose_concurrency_is_used_up_throttles(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path, cors={"AllowOrigins": [PAGE]})
    await runtime.registry.reserved.put(Reserved(name="echo", count=0))
    answer = await ask(endpoint.url, "/_url/echo/", headers={"Origin": PAGE})
    assert answer.status == 429
    assert answer.all("x-amzn-errortype") == ["TooManyRequestsException"]
    # a page may read the error too
    assert answer.all("access-control-allow-origin") == [PAGE]
    assert "Message" in answer.json()


async def test_a_body_beyond_the_limit_is_413(endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await put_python(runtime, tmp_path)
    limit = 6 * 1024 * 1024
    kinds = {"text/plain": limit + 1, "application/octet-stream": limit - 100}  # the second grows as base64
    for content_type, size in kinds.items():
        answer = await ask(endpoint.url, "/_url/echo/", "POST", b"x" * size, {"content-type": content_type})
        assert answer.status == 413
        assert answer.all("x-amzn-errortype") == ["RequestTooLargeException"]
    assert runtime.instances() == []


async def test_every_method_passes_and_only_head_has_no_body(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    connection = connect(endpoint.url)
    try:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            answer = await ask(endpoint.url, "/_url/echo/", method, connection=connection)
            assert answer.json()["event"]["requestContext"]["http"]["method"] == method
        head = await ask(endpoint.url, "/_url/echo/", "HEAD", connection=connection)
        assert (head.status, head.body) == (200, b"")
        assert int(head.all("content-length")[0]) > 100
        assert (await ask(endpoint.url, "/_url/echo/", connection=connection)).status == 200
    finally:
        connection.close()


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_that_allows_no_body_has_none(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, status: int
) -> None:
    await put_python(runtime, tmp_path)
    connection = connect(endpoint.url)
    try:
        answer = await reply_of(endpoint, {"statusCode": status, "body": "never sent"}, connection=connection)
        assert (answer.status, answer.body, answer.all("content-length")) == (status, b"", [])
        # nothing of it stands before the next response
        assert (await reply_of(endpoint, "next", connection=connection)).body == b"next"
    finally:
        connection.close()


async def test_a_function_without_a_url_is_not_there(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    await runtime.registry.urls.remove("echo")
    for path in ("/_url/echo/", "/_url/nobody/", "/_url/echo:live/", "/_url/a%20b/", "/_url/"):
        answer = await ask(endpoint.url, path)
        assert answer.status == 404, path
        assert answer.all("x-amzn-errortype") == ["ResourceNotFoundException"]
        assert answer.json()["Message"]
    assert runtime.instances() == []


async def test_an_aliass_url_runs_the_version_it_stands_for(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    await runtime.publish_version("echo")
    await runtime.registry.aliases.put(Alias(name="echo", qualifier="live", function_version="1"))
    await runtime.registry.urls.put(UrlConfig(name="echo", qualifier="live"))
    found = (await ask(endpoint.url, "/_url/echo:live/x")).json()
    assert found["version"] == "1"
    assert found["arn"].endswith(":function:echo:live")
    assert found["event"]["requestContext"]["domainPrefix"] == "echo:live"
    assert found["event"]["rawPath"] == "/x"
    # an alias that is gone takes its URL out of work, not the endpoint
    await runtime.registry.aliases.remove("echo", "live")
    assert (await ask(endpoint.url, "/_url/echo:live/x")).status == 404


# --- who may ask


def signed(url: str, sign: Callable[..., Any]) -> AWSRequest:
    request = AWSRequest("GET", url)
    sign(Credentials("AKIAEXAMPLE", "secret"), "lambda", "us-east-1").add_auth(request)
    return request


async def test_a_url_with_iam_wants_a_signature(endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await put_python(runtime, tmp_path, auth_type="AWS_IAM")
    for headers in ({}, {"authorization": "Bearer abc"}, {"authorization": "AWS4-HMAC-SHA256 nothing"}):
        refused = await ask(endpoint.url, "/_url/echo/", headers=headers)
        assert refused.status == 403
        assert refused.json() == {"Message": "Forbidden"}
        assert refused.all("x-amzn-errortype") == ["AccessDeniedException"]
    assert runtime.instances() == []

    url = f"{endpoint.url}/_url/echo/"
    by_header = await ask(endpoint.url, "/_url/echo/", headers=dict(signed(url, SigV4Auth).headers))
    presigned = signed(url, SigV4QueryAuth).url
    by_query = await ask(endpoint.url, presigned.removeprefix(endpoint.url))
    for answer in (by_header, by_query):
        context = answer.json()["event"]["requestContext"]
        assert context["authorizer"]["iam"]["accessKey"] == "AKIAEXAMPLE"
        assert context["accountId"] == "000000000000"


# --- pages in a browser


PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}


async def test_a_foreign_page_is_answered_as_the_cors_settings_say(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    cors = {"AllowOrigins": [PAGE], "AllowMethods": ["GET", "PUT"], "AllowHeaders": ["x-a"], "MaxAge": 60}
    await put_python(runtime, tmp_path, auth_type="AWS_IAM", cors=cors)
    asked = await ask(endpoint.url, "/_url/echo/", "OPTIONS", headers=PREFLIGHT)
    # a browser does not sign its question, and the function does not hear of it
    assert (asked.status, asked.body) == (200, b"")
    assert asked.all("access-control-allow-origin") == [PAGE]
    assert asked.all("access-control-allow-methods") == ["GET,PUT"]
    assert asked.all("access-control-allow-headers") == ["x-a"]
    assert asked.all("access-control-max-age") == ["60"]
    assert asked.all("vary") == ["Origin"]
    assert runtime.instances() == []
    refused = await ask(endpoint.url, "/_url/echo/", headers={"Origin": PAGE})
    assert (refused.status, refused.all("access-control-allow-origin")) == (403, [PAGE])


async def test_responses_to_a_page_have_the_functions_own_headers_beside_those_of_the_settings(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path, cors={"AllowOrigins": ["*"], "ExposeHeaders": ["x-b"]})
    reply = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*", "Vary": "Accept"}, "body": "x"}
    answer = await ask(endpoint.url, "/_url/echo/reply", "POST", json.dumps(reply), {**TEXT, "Origin": PAGE})
    assert answer.all("access-control-allow-origin") == ["*", PAGE]
    assert answer.all("access-control-expose-headers") == ["x-b"]
    assert answer.all("vary") == ["Accept", "Origin"]


async def test_a_page_that_the_settings_do_not_name_does_not_reach_the_function(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path, cors={"AllowOrigins": [PAGE], "AllowMethods": ["*"]})
    foreign = {"Origin": "https://attacker.example"}
    question = await ask(endpoint.url, "/_url/echo/", "OPTIONS", headers={**PREFLIGHT, **foreign})
    answer = await ask(endpoint.url, "/_url/echo/", "POST", "x", foreign)
    for each in (question, answer):
        assert not [name for name, _ in each.headers if name.startswith("access-control-")]
        assert each.all("vary") == ["Origin"]
    assert (answer.status, answer.json()) == (403, {"Message": "Forbidden"})
    assert runtime.instances() == []
    # a page that the function itself served may come back, and who is no page may too
    assert (await ask(endpoint.url, "/_url/echo/", headers={"Origin": endpoint.url})).status == 200
    assert (await ask(endpoint.url, "/_url/echo/")).status == 200


async def test_without_cors_settings_the_function_answers_for_itself(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    answer = await ask(endpoint.url, "/_url/echo/", "OPTIONS", headers=PREFLIGHT)
    assert answer.json()["event"]["headers"]["access-control-request-method"] == "PUT"
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


# --- clients that go away


async def test_a_client_that_goes_away_does_not_stop_a_buffered_function(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Any
) -> None:
    source = f"""
        def handler(event, context):
            if event["rawPath"] == "/wait":
                with open({str(gate.path)!r}, "rb", buffering=0) as waiting:
                    waiting.read(2)
            return "done"
    """
    await put_python(runtime, tmp_path, source)
    assert (await ask(endpoint.url, "/_url/echo/")).body == b"done"
    (before,) = runtime.instances()
    started, ended = asyncio.Event(), asyncio.Event()
    runtime.events.subscribe(lambda event: started.set() if isinstance(event, InvocationStarted) else None)
    runtime.events.subscribe(lambda event: ended.set() if isinstance(event, CallEnded) and event.gone else None)
    host, port = endpoint.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /_url/echo/wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(20):
        # not merely `running`: the call before may be ending still
        await started.wait()
        reset(writer)
        while endpoint._connections() > 0:  # noqa: ASYNC110 - nor when the endpoint has noticed that
            await asyncio.sleep(0.005)
        gate.open()
        await ended.wait()
    assert (await ask(endpoint.url, "/_url/echo/")).body == b"done"
    (after,) = runtime.instances()
    assert after.id == before.id
    assert after.served == 3


async def test_a_request_whose_body_breaks_off_runs_nothing(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    host, port = endpoint.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /_url/echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
    writer.write_eof()
    async with asyncio.timeout(20):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert runtime.instances() == []


async def test_text_of_another_encoding_arrives_as_the_bytes_it_was(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_python(runtime, tmp_path)
    answer = await ask(endpoint.url, "/_url/echo/", "POST", b"caf\xe9", {"content-type": "text/plain"})
    event = answer.json()["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"caf\xe9"
