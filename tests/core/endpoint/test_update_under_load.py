"""A function whose code is replaced while clients invoke it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

from core.events import InstanceChanged
from core.instances import InstanceState
from tests.core.endpoint.support import client_of, create, zipped
from tests.core.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.endpoint.endpoint import Endpoint
    from core.events import Event
    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]

CLIENTS = 4
UPDATES = 5
# requests that each client has answered between one update and the next
BETWEEN = 8


def numbered(number: int) -> bytes:
    return zipped(f"""
        import time

        def handler(event, context):
            time.sleep(0.02)
            return {number}
    """)


class Load:
    """Clients that invoke one after the other until they are told to stop, each from its own thread.

    `answers` holds of each request how many updates were through when it was sent, what was
    answered, and how many updates had begun by then.
    """

    def __init__(self, url: str, name: str) -> None:
        self.answers: list[tuple[int, int, int]] = []
        self.failures: list[BaseException] = []
        self.through = 0
        self.begun = 0
        self._stop = threading.Event()
        self._counts = [0] * CLIENTS
        self._more = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(number, url, name), name=f"client {number}")
            for number in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_more(self, count: int) -> None:
        """Wait until each client has been answered so often again."""
        with self._more:
            wanted = [each + count for each in self._counts]
            done = self._more.wait_for(
                lambda: self.failures or all(have >= want for have, want in zip(self._counts, wanted, strict=True)),
                timeout=60,
            )
        assert done

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, url: str, name: str) -> None:
        client = client_of(url)
        try:
            while not self._stop.is_set():
                through = self.through
                reply = client.invoke(FunctionName=name, Payload=b"{}")
                payload = json.loads(reply["Payload"].read())
                assert "FunctionError" not in reply, payload
                with self._more:
                    self.answers.append((through, payload, self.begun))
                    self._counts[number] += 1
                    self._more.notify_all()
        except BaseException as error:
            with self._more:
                self.failures.append(error)
                self._more.notify_all()
        finally:
            client.close()


async def test_every_request_is_answered_while_the_code_is_replaced(
    runtime: LambdaRuntime, endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "loaded", Code={"ZipFile": numbered(0)})
    interrupted: list[InstanceChanged] = []
    drained: set[str] = set()

    def watch(event: Event) -> None:
        if isinstance(event, InstanceChanged):
            if event.old is InstanceState.BUSY and event.new in {InstanceState.TERMINATING, InstanceState.DEAD}:
                interrupted.append(event)
            if event.new is InstanceState.DRAINING:
                drained.add(event.instance.id)

    runtime.events.subscribe(watch)
    load = Load(endpoint.url, "loaded")
    try:
        await call(load.wait_for_more, BETWEEN)
        for number in range(1, UPDATES + 1):
            load.begun = number
            await call(lambda_client.update_function_code, FunctionName="loaded", ZipFile=numbered(number))
            load.through = number
            await call(load.wait_for_more, BETWEEN)
    finally:
        await asyncio.to_thread(load.stop)

    assert load.failures == []
    assert len(load.answers) >= CLIENTS * BETWEEN * (UPDATES + 1)
    # no code answers that was replaced before the request was sent, or that was not there yet
    assert [answer for answer in load.answers if not answer[0] <= answer[1] <= answer[2]] == []
    assert {answered for _, answered, _ in load.answers} == set(range(UPDATES + 1))
    # an instance that was at work when its code was replaced went on to its end
    assert drained
    assert interrupted == []

    current = runtime.deploy("loaded").deploy_id
    await until(
        runtime,
        # one may still be starting for a request that another has served by now
        lambda: all(one.deploy_id == current and one.state is InstanceState.IDLE for one in runtime.instances()),
    )
    assert runtime.instances()
