"""Plays a Stoker that will be killed: `python play_stoker.py HOME`. Prints what it launched, then waits."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from core.backends.base import launching
from core.backends.process import ProcessBackend
from core.emulator.runtime_api import InvokeRequest
from core.functions import LambdaFunction
from core.instances import ProcessHandle
from core.local_emulators import LocalEmulators
from core.owners import Owner
from tests.core.backends.support import Recorder, archive

PYTHON = "import time\ndef handler(event, context):\n    time.sleep(event.get('sleep', 0))\n"
# takes no notice of SIGTERM nor of its Runtime API, and has a child that left its session
CUSTOM = f"""#!{sys.executable}
import http.client, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    while True:
        time.sleep(60)
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("GET", "/2018-06-01/runtime/invocation/next")
api.getresponse().read()
while True:
    time.sleep(60)
"""


async def main(home: Path) -> None:
    owner = Owner.acquire()
    local = LocalEmulators()
    backend = ProcessBackend(home, owner.id, local=local)
    await backend.start()
    python = archive(home / "code-python", {"app.py": PYTHON})
    custom = archive(home / "code-custom", {"bootstrap": CUSTOM})
    launched, running = [], []
    for number in range(4):
        runtime, code = ("python3.11", python) if number < 2 else ("provided.al2023", custom)
        function = LambdaFunction(function_name=f"f{number}", runtime=runtime, handler="app.handler", timeout=600)
        with launching(Recorder().launch(owner.id)):
            warm = await backend.launch(function, code, (), "deploy")
        assert isinstance(warm.handle, ProcessHandle)
        launched.append({"pid": warm.handle.pid, "token": warm.handle.token})
        if number % 2:
            api = local.get(warm.endpoint.partition("://")[2])
            assert api is not None
            running.append(asyncio.ensure_future(api.invoke(InvokeRequest(f"r{number}", b'{"sleep": 600}'))))
    await asyncio.sleep(0.1)
    print(json.dumps({"owner": owner.id, "instances": launched}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
