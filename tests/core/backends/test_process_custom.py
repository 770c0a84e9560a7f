"""Custom runtimes: the package's own `bootstrap`, and how their responses stream."""

from __future__ import annotations

import asyncio
import json

import pytest

from core.emulator.runtime_api import InvokeRequest
from core.errors import InitFailedError
from tests.core.backends.conftest import Bench
from tests.core.backends.support import invoke

SHELL = """#!/bin/sh
PYTHON=$(command -v python3 || echo /usr/bin/python3)
exec "$PYTHON" - <<'EOF'
import http.client, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = answer.read()
    identity = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    def words():
        for word in event.split():
            yield word
            # the next word only after the reader has seen this one
            while not os.path.exists(os.path.join(os.environ["TMPDIR"], word.decode())):
                time.sleep(0.005)
    api.request("POST", f"/2018-06-01/runtime/invocation/{identity}/response", body=words(), encode_chunked=True,
                headers={"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked",
                         "Content-Type": "text/plain"})
    api.getresponse().read()
EOF
"""


async def test_each_chunk_arrives_while_the_function_is_still_writing(bench: Bench) -> None:
    started = await bench.launch({"bootstrap": SHELL}, runtime="provided.al2023", handler="h", timeout=20)
    [directory] = bench.directories()
    for turn in range(2):
        reply = await started.api.invoke(InvokeRequest(f"r{turn}", f"one{turn} two{turn} three{turn}".encode()))
        assert reply.streaming
        seen = []
        while (chunk := await asyncio.wait_for(reply.next_chunk(), 10)) is not None:
            seen.append(chunk.decode())
            (directory / "tmp" / seen[-1]).touch()
        assert seen == [f"one{turn}", f"two{turn}", f"three{turn}"]
        assert reply.outcome is not None
        assert reply.outcome.function_error is None
        assert reply.outcome.reusable


async def test_bootstrap_may_come_from_a_layer_and_sees_lambdas_variables(bench: Bench) -> None:
    script = """#!/bin/sh
echo "$_HANDLER in $PWD for $AWS_LAMBDA_FUNCTION_NAME, ${AWS_EXECUTION_ENV:-no name}"
exit 3
"""
    layer = bench.archive({"bootstrap": script})
    with pytest.raises(InitFailedError) as caught:
        await bench.launch({"data.txt": ""}, runtime="provided.al2", handler="my.handler", layers=[layer])
    assert caught.value.log_tail == (f"my.handler in {bench.root}/code-2 for f, no name",)
    assert b"exit status 3" in caught.value.payload


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"other": ""}, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ({"bootstrap": "no program at all"}, "exec format error"),
        ({"bootstrap": b"\x7fELF" + b"\x02\x01\x01" + b"\x00" * 11 + b"\xb7\x00" + b"\x00" * 44}, "exec format error"),
    ],
)
async def test_a_package_without_a_usable_bootstrap_is_an_invalid_entrypoint(
    bench: Bench, files: dict[str, str | bytes], says: str
) -> None:
    with pytest.raises(InitFailedError) as caught:
        await bench.launch(files, runtime="provided.al2023", handler="h")
    assert caught.value.error_type == "Runtime.InvalidEntrypoint"
    assert says in json.loads(caught.value.payload)["errorMessage"]
    assert bench.directories() == []


async def test_a_bootstrap_that_may_not_be_executed_is_told_as_lambda_tells_it(bench: Bench) -> None:
    code = bench.archive({"bootstrap": "#!/bin/sh\n"})
    (code.directory / "bootstrap").chmod(0o644)
    with pytest.raises(InitFailedError, match="fork/exec /var/task/bootstrap: permission denied"):
        await bench.launch(code, runtime="provided.al2023", handler="h")


async def test_an_exec_wrapper_of_a_layer_starts_the_runtime(bench: Bench) -> None:
    layer = bench.archive({"bin/wrap": '#!/bin/sh\necho "wrapped"\nexport FROM_WRAPPER=yes\nexec "$@"\n'})
    code = "import os\ndef handler(e, c):\n    return os.environ['FROM_WRAPPER']\n"
    started = await bench.launch(
        {"app.py": code}, layers=[layer], environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bin/wrap"}
    )
    assert (await invoke(started.api)).payload == b'"yes"'
    assert "wrapped" in started.recorder.lines
