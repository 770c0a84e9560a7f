"""npm's `aws-lambda-ric` as the runtime of a custom-runtime function: streams, buffers, fails as on Lambda."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from core.functions import LambdaFunction
from core.runtime import LambdaRuntime
from tests.core.real_clients.node_client import NodeClient

# The first test of a run may have to compile the client.
pytestmark = [pytest.mark.timeout(480), pytest.mark.any_python]

_BOOTSTRAP = """\
#!/bin/sh
cd "$LAMBDA_TASK_ROOT"
exec "$NODE" "$CLIENT" "$_HANDLER"
"""

_HANDLERS = """\
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const opened = async (gate) => { while (!fs.existsSync(gate)) await sleep(5); };

// Writes one chunk, then goes on only once the reader has said that it has that chunk.
exports.stream = awslambda.streamifyResponse(async (event, out) => {
  out.setContentType('text/plain');
  for (let index = 0; index < event.count; index++) {
    out.write(`chunk ${index};`);
    await sleep(event.gap_ms);
    await opened(path.join(event.gates, String(index)));
  }
  out.end();
});

exports.fails_midway = awslambda.streamifyResponse(async (event, out) => {
  out.write('before the error');
  await opened(path.join(event.gates, '0'));
  throw new RangeError('too far');
});

exports.buffered = async (event, context) => (
  { got: event, id: context.awsRequestId, left: context.getRemainingTimeInMillis() });

exports.fails = async () => { throw new TypeError('not like this'); };
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "bootstrap").write_text(_BOOTSTRAP)
    (folder / "bootstrap").chmod(0o755)
    (folder / "index.js").write_text(_HANDLERS)
    return folder


async def _add(runtime: LambdaRuntime, client: NodeClient, code: Path, handler: str) -> None:
    await runtime.add_function(
        LambdaFunction(
            function_name="node",
            runtime="provided.al2023",
            handler=f"index.{handler}",
            code=code,
            timeout=30,
            memory_size=512,
            environment={"NODE": str(client.node), "CLIENT": str(client.program)},
        )
    )


async def test_five_writes_arrive_one_by_one_while_the_function_still_writes(
    runtime: LambdaRuntime, node_client: NodeClient, code: Path, tmp_path: Path
) -> None:
    """The function writes the next chunk only after the test has read the one before: any buffering would stop both."""
    await _add(runtime, node_client, code, "stream")
    gates = tmp_path / "gates"
    gates.mkdir()
    arrived: list[bytes] = []
    async with asyncio.timeout(60):
        event = {"count": 5, "gap_ms": 100, "gates": str(gates)}
        async with await runtime.invoke_streaming("node", json.dumps(event).encode()) as invocation:
            for index in range(5):
                chunk = await invocation.next_chunk()
                assert chunk is not None
                arrived.append(chunk)
                (gates / str(index)).touch()
            assert await invocation.next_chunk() is None
    assert arrived == [b"chunk %d;" % index for index in range(5)]
    assert invocation.result is not None
    assert invocation.result.function_error is None
    assert invocation.result.streamed
    assert invocation.result.content_type == "text/plain"


async def test_an_error_after_the_first_byte_ends_the_stream_with_a_function_error(
    runtime: LambdaRuntime, node_client: NodeClient, code: Path, tmp_path: Path
) -> None:
    await _add(runtime, node_client, code, "fails_midway")
    async with asyncio.timeout(60):
        invocation = await runtime.invoke_streaming("node", json.dumps({"gates": str(tmp_path)}).encode())
        assert await invocation.next_chunk() == b"before the error"
        (tmp_path / "0").touch()
        assert [chunk async for chunk in invocation] == []
    assert invocation.result is not None
    assert invocation.result.function_error == "Unhandled"
    assert invocation.result.error_payload is not None
    error = json.loads(invocation.result.error_payload)
    assert (error["errorType"], error["errorMessage"]) == ("RangeError", "too far")


async def test_a_buffered_response_and_its_context_come_whole(
    runtime: LambdaRuntime, node_client: NodeClient, code: Path
) -> None:
    await _add(runtime, node_client, code, "buffered")
    result = await runtime.invoke("node", b'{"word": "h\xc3\xa9"}')
    reply = json.loads(result.payload)
    assert result.function_error is None
    assert reply["got"] == {"word": "hé"}
    assert reply["id"] == result.request_id
    assert 0 < reply["left"] <= 30_000


async def test_a_handler_error_has_the_shape_of_the_client(
    runtime: LambdaRuntime, node_client: NodeClient, code: Path
) -> None:
    await _add(runtime, node_client, code, "fails")
    result = await runtime.invoke("node", b"{}")
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    assert (error["errorType"], error["errorMessage"]) == ("TypeError", "not like this")
    assert error["trace"]
    # The same instance serves the next event: a handler error does not end the runtime.
    again = await runtime.invoke("node", b"{}")
    assert again.instance_id == result.instance_id
