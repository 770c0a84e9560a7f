"""Node functions through Stoker's own bootstrap: what AWS's client gives, on `node` alone."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time

import pytest

from core.emulator.runtime_api import MAX_RESPONSE, InvokeRequest
from core.errors import InitFailedError, UnsupportedRuntimeError
from tests.core.backends.conftest import Bench, Started
from tests.core.backends.support import invoke

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.any_python,
]

Files = dict[str, str | bytes]


async def start(bench: Bench, files: Files, handler: str = "index.handler", **more: object) -> Started:
    fields = {"runtime": "nodejs20.x", "memory_size": 512, "timeout": 10, **more}
    return await bench.launch(files, handler=handler, **fields)  # type: ignore[arg-type]


ESM = "export const handler = async (event, context) => ({ event, id: context.awsRequestId });\n"
CJS = "exports.handler = async (event, context) => ({ event, id: context.awsRequestId });\n"


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.mjs": ESM}, "index.handler"),
        ({"index.js": ESM, "package.json": '{"type": "module"}'}, "index.handler"),
        ({"index.js": CJS}, "index.handler"),
        ({"index.cjs": CJS, "package.json": '{"type": "module"}'}, "index.handler"),
        ({"src/deep/app.js": CJS}, "src/deep/app.handler"),
        ({"index.js": "exports.a = { b: { c: async (event) => ({ event }) } };"}, "index.a.b.c"),
        ({"node_modules/packed/index.js": CJS}, "packed.handler"),
    ],
)
async def test_handlers_are_found_in_es_modules_and_commonjs(bench: Bench, files: Files, handler: str) -> None:
    started = await start(bench, files, handler)
    for number in range(3):
        answer = await invoke(started.api, b'{"n": %d}' % number)
        assert json.loads(answer.payload)["event"] == {"n": number}
        assert answer.outcome.function_error is None


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("callback(null, 'called back');", '"called back"'),
        ("setTimeout(() => callback(null, 'later'), 30);", '"later"'),
        ("context.succeed('succeeded');", '"succeeded"'),
        ("context.done(null, 'done');", '"done"'),
        ("context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); callback(null, 1);", "1"),
        ("callback();", "null"),
        ("", "null"),
    ],
)
async def test_handlers_may_call_back(bench: Bench, body: str, result: str) -> None:
    started = await start(bench, {"index.js": f"exports.handler = (event, context, callback) => {{ {body} }};"})
    for _ in range(2):
        assert (await invoke(started.api)).payload.decode() == result


async def test_a_callback_waits_for_an_empty_event_loop_unless_told_otherwise(bench: Bench) -> None:
    code = """
exports.handler = (event, context, callback) => {
  setTimeout(() => console.log("the loop is empty"), 80);
  callback(null, "result");
};
"""
    started = await start(bench, {"index.js": code})
    answer = await invoke(started.api)
    assert answer.payload == b'"result"'
    assert "the loop is empty" in answer.outcome.log_tail


async def test_results_of_all_kinds_follow_one_another(bench: Bench) -> None:
    code = """
exports.handler = (event, context, callback) => {
  if (event.fail) throw new RangeError("failed");
  if (event.size) callback(null, "ü".repeat(event.size));
};
"""
    started = await start(bench, {"index.js": code})
    for size in (1, 32 * 1024 - 2, 32 * 1024 - 1, 2_000_000, 0, 1, 0):
        answer = await invoke(started.api, b'{"size": %d}' % size)
        assert json.loads(answer.payload) == ("ü" * size if size else None)
        assert answer.headers == {"content-type": "application/json"}
        if size > 1:
            assert (await invoke(started.api, b'{"fail": true}')).outcome.error_type == "RangeError"


async def test_a_result_that_is_too_large_says_so(bench: Bench) -> None:
    started = await start(bench, {"index.js": "exports.handler = async (event) => 'x'.repeat(event);"})
    assert len((await invoke(started.api, b"%d" % (MAX_RESPONSE - 2))).payload) == MAX_RESPONSE
    answer = await invoke(started.api, b"%d" % (MAX_RESPONSE - 1))
    assert answer.outcome.error_type == "Function.ResponseSizeTooLarge"
    assert not answer.outcome.reusable


async def test_a_function_may_go_on_after_its_answer(bench: Bench) -> None:
    code = """
let done = 0;
let begun = false;
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, done);
  const work = () => {
    const until = Date.now() + 30;
    while (Date.now() < until);
    done += 1;
    if (done < 5) setTimeout(work, 1);
  };
  if (!begun) setTimeout(work, 1);
  begun = true;
};
"""
    started = await start(bench, {"index.js": code})
    assert (await invoke(started.api)).payload == b"0"
    async with asyncio.timeout(10):
        while (await invoke(started.api)).payload != b"5":
            pass
    assert not started.recorder.exits


async def test_the_context_has_lambdas_fields(bench: Bench) -> None:
    code = """
exports.handler = async (event, context) => ({
  ...context, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID,
});
"""
    started = await start(bench, {"index.js": code}, timeout=10)
    answer = await invoke(
        started.api, client_context='{"custom": {"a": 1}}', trace_id="Root=1-5759e988-bd862e3fe1be46a994272793"
    )
    seen = json.loads(answer.payload)
    assert seen["functionName"] == "f"
    assert seen["functionVersion"] == "$LATEST"
    assert seen["memoryLimitInMB"] == "512"
    assert seen["invokedFunctionArn"].endswith(":function:f")
    assert seen["logGroupName"] == "/aws/lambda/f"
    assert seen["logStreamName"].endswith(started.handle.token)
    assert seen["clientContext"] == {"custom": {"a": 1}}
    assert seen["trace"].startswith("Root=1-5759e988")
    assert seen["callbackWaitsForEmptyEventLoop"] is True
    assert 0 < seen["left"] <= 10_000


async def test_console_lines_have_time_request_id_and_level(bench: Bench) -> None:
    code = """
exports.handler = async () => {
  console.log("plain %s", "text"); console.error("two\\nlines"); console.warn({ a: 1 });
};
"""
    started = await start(bench, {"index.js": code})
    reply = await started.api.invoke(InvokeRequest("the-request", b"{}"))
    while await reply.next_chunk() is not None:
        pass
    assert reply.outcome is not None
    lines = [line.split("\t") for line in reply.outcome.log_tail.splitlines() if "\tthe-request\t" in line]
    assert [line[1:3] for line in lines] == [["the-request", level] for level in ("INFO", "ERROR", "WARN")]
    assert lines[0][3] == "plain text"
    assert lines[2][3] == "{ a: 1 }"
    assert all(line[0].endswith("Z") and "T" in line[0] for line in lines)


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        ("throw new TypeError('thrown');", "TypeError", "thrown"),
        ("callback(new RangeError('called'));", "RangeError", "called"),
        ("callback('text only');", "string", "text only"),
        ("context.fail(new Error('failed'));", "Error", "failed"),
        ("context.fail();", "string", "handled"),
        ("return Promise.reject(new Error('rejected'));", "Error", "rejected"),
        ("const a = {}; a.a = a; return Promise.resolve(a);", "Error", "Unable to stringify response body"),
    ],
)
async def test_errors_have_the_shape_of_awss_client(bench: Bench, body: str, error_type: str, message: str) -> None:
    started = await start(bench, {"index.js": f"exports.handler = (event, context, callback) => {{ {body} }};"})
    answer = await invoke(started.api)
    error = json.loads(answer.outcome.error_payload or b"")
    assert answer.outcome.function_error == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == (error_type, message)
    assert isinstance(error["trace"], list)
    assert answer.outcome.reusable
    assert (await invoke(started.api)).outcome.error_type == error_type


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        ("setTimeout(() => { throw new Error('late'); }, 10); await new Promise(() => {});", "Error"),
        (
            "Promise.reject(new Error('lost')); await new Promise((r) => setTimeout(r, 1000));",
            "Runtime.UnhandledPromiseRejection",
        ),
    ],
)
async def test_what_nobody_caught_ends_the_invocation_and_the_runtime(bench: Bench, body: str, error_type: str) -> None:
    started = await start(bench, {"index.mjs": f"export const handler = async () => {{ {body} }};"})
    answer = await invoke(started.api)
    assert answer.outcome.error_type == error_type
    await asyncio.wait_for(started.recorder.exited.wait(), 5)
    assert started.recorder.exits[0].code in (128, 129)


@pytest.mark.parametrize(
    ("files", "handler", "error_type"),
    [
        ({"index.js": "exports.other = 1;"}, "index.handler", "Runtime.HandlerNotFound"),
        ({"index.js": "exports.handler = 1;"}, "index.handler", "Runtime.HandlerNotFound"),
        ({"index.js": "require('not-there');"}, "index.handler", "Runtime.ImportModuleError"),
        ({"other.js": ""}, "index.handler", "Runtime.ImportModuleError"),
        ({"index.js": "exports.handler = ("}, "index.handler", "Runtime.UserCodeSyntaxError"),
        ({"index.js": CJS}, "../index.handler", "Runtime.MalformedHandlerName"),
        ({"index.mjs": "throw new URIError('at import');"}, "index.handler", "URIError"),
        ({"index.mjs": "await Promise.reject(new EvalError('top'));"}, "index.handler", "EvalError"),
    ],
)
async def test_init_errors_have_awss_types(bench: Bench, files: Files, handler: str, error_type: str) -> None:
    with pytest.raises(InitFailedError) as caught:
        await start(bench, files, handler)
    assert caught.value.error_type == error_type
    assert json.loads(caught.value.payload)["errorType"] == error_type


STREAM = """
import { setTimeout as sleep } from "node:timers/promises";
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType("text/event-stream");
  for (let n = 0; n < event.count; n++) {
    stream.write(`data: ${n}\\n\\n`);
    await sleep(event.pause);
  }
  stream.end();
});
"""


async def test_a_streaming_handlers_chunks_arrive_as_they_are_written(bench: Bench) -> None:
    started = await start(bench, {"index.mjs": STREAM})
    for _ in range(2):
        reply = await started.api.invoke(InvokeRequest("s", b'{"count": 5, "pause": 60}'))
        assert reply.streaming
        assert dict(reply.headers)["content-type"] == "text/event-stream"
        arrived = []
        while (chunk := await reply.next_chunk()) is not None:
            arrived.append((time.monotonic(), chunk.decode()))
        assert [text for _, text in arrived] == [f"data: {n}\n\n" for n in range(5)]
        assert arrived[-1][0] - arrived[0][0] > 0.15
        assert reply.outcome is not None
        assert reply.outcome.function_error is None


async def test_http_response_streams_begin_with_their_prelude(bench: Bench) -> None:
    code = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "X-A": "b" } });
  if (event.body) stream.write(event.body);
  stream.end();
});
"""
    started = await start(bench, {"index.js": code})
    for body in ("the body", ""):
        answer = await invoke(started.api, json.dumps({"body": body}).encode())
        assert answer.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
        prelude, _, rest = answer.payload.partition(b"\0" * 8)
        assert json.loads(prelude) == {"statusCode": 201, "headers": {"X-A": "b"}}
        assert rest.decode() == body


async def test_an_error_in_mid_stream_follows_what_was_written(bench: Bench) -> None:
    code = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.first) { stream.write("so far "); stream.write("so good"); }
  throw new RangeError("then not");
});
"""
    started = await start(bench, {"index.js": code})
    for first, expected in ((True, b"so far so good"), (False, b"")):
        answer = await invoke(started.api, json.dumps({"first": first}).encode())
        assert answer.payload == expected
        assert answer.outcome.function_error == "Unhandled"
        assert answer.outcome.error_type == "RangeError"
        assert json.loads(answer.outcome.error_payload or b"")["errorMessage"] == "then not"
        assert answer.outcome.reusable


async def test_an_uncaught_exception_in_mid_stream_is_reported_in_the_trailers(bench: Bench) -> None:
    code = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("begun");
  setTimeout(() => { throw new RangeError("out of band"); }, 20);
  await new Promise(() => {});
});
"""
    started = await start(bench, {"index.js": code})
    answer = await invoke(started.api)
    assert answer.payload == b"begun"
    assert answer.outcome.error_type == "RangeError"


async def test_a_pipeline_streams_large_bodies_whole_and_waits_for_its_reader(bench: Bench) -> None:
    code = """
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
let written = 0;
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  written = 0;
  setTimeout(() => console.log(`after a while ${written}`), 400);
  const source = Readable.from((function* () {
    for (let n = 0; n < event.blocks; n++) { written++; yield Buffer.alloc(65536, n % 251); }
  })());
  await pipeline(source, stream);
});
"""
    started = await start(bench, {"index.mjs": code}, timeout=30)
    blocks = 320
    reply = await started.api.invoke(InvokeRequest("big", b'{"blocks": %d}' % blocks))
    await asyncio.sleep(0.8)
    [line] = [line for line in started.recorder.lines if "after a while" in line]
    assert int(line.rpartition(" ")[2]) < blocks
    size, last = 0, b""
    while (chunk := await reply.next_chunk()) is not None:
        size += len(chunk)
        last = chunk
    assert size == blocks * 65536
    assert last[-1] == (blocks - 1) % 251
    assert reply.outcome is not None
    assert reply.outcome.function_error is None


async def test_objects_are_written_as_json_and_bytes_as_they_are(bench: Bench) -> None:
    code = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.write({ a: 1 }); stream.write(Buffer.from("AAE=", "base64")); stream.end("text");
});
"""
    started = await start(bench, {"index.js": code})
    assert (await invoke(started.api)).payload == b'{"a":1}' + base64.b64decode("AAE=") + b"text"


async def test_layers_are_on_nodes_path(bench: Bench) -> None:
    first = bench.archive(
        {
            "nodejs/node_modules/a/index.js": "module.exports = 'first'",
            "nodejs/node_modules/b/index.js": "module.exports = 'first'",
        }
    )
    second = bench.archive({"nodejs/node_modules/b/index.js": "module.exports = 'second'"})
    code = "const a = require('a'), b = require('b'); exports.handler = async () => [a, b];"
    started = await start(bench, {"index.js": code}, layers=[first, second])
    assert json.loads((await invoke(started.api)).payload) == ["first", "second"]


async def test_another_major_version_says_so(bench: Bench) -> None:
    started = await start(
        bench, {"index.js": "exports.handler = async () => process.versions.node;"}, runtime="nodejs16.x"
    )
    version = json.loads((await invoke(started.api)).payload)
    assert started.warm.details["runtime"] == f"nodejs16.x asked for; runs under Node {version}"


async def test_node_is_missed_by_name_where_it_is_not_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.backends.commands.node_on_path", lambda: None)
    with pytest.raises(UnsupportedRuntimeError, match="node is not installed") as caught:
        await start(bench, {"index.js": CJS})
    assert caught.value.could_run
