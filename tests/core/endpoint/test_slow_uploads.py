"""Large uploads whose clients dawdle: they hold nobody up, and memory stays within its bound."""

from __future__ import annotations

import asyncio
import json
import random
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from core.emulator.http_body import HIGH_WATER, Body
from core.emulator.http_decoders import LengthDecoder
from core.endpoint import admission
from core.endpoint.admission import Admission
from core.events import CallStarted, Event
from tests.core.endpoint.support import definition
from tests.core.endpoint.wire import Wire
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

FUNCTIONS = "/2015-03-31/functions"
MIB = 1024 * 1024
CODE: dict[str, bytes | str] = {"app.py": "def handler(event, context): ...", "b": random.Random(1).randbytes(2 * MIB)}
TEXT = b64encode(a_zip(CODE, zipfile.ZIP_STORED)).decode()
FOREVER = 3600.0


def document(name: str) -> bytes:
    """A request of almost three MiB."""
    return json.dumps({**definition(name), "Code": {"ZipFile": TEXT}}).encode()


class Dawdler:
    """An upload that is sent by hand, piece by piece."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Dawdler:
        host, _, port = self._address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def begin(self, framing: str, start: bytes) -> None:
        """Send the head, and behind it the start of the body."""
        head = f"POST {FUNCTIONS} HTTP/1.1\r\nHost: {self._address}\r\n{framing}\r\n\r\n"
        await self.send(head.encode() + start)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def status(self) -> int:
        """The status that it is answered with."""
        return int((await self._reader.readline()).split(b" ")[1])


class Begun:
    """Counts the uploads that the endpoint has begun to answer."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallStarted):
            self._count += 1
            self._changed.set()

    async def until(self, count: int) -> None:
        while self._count < count:
            self._changed.clear()
            await self._changed.wait()


@pytest_asyncio.fixture
async def begun(runtime: LambdaRuntime) -> AsyncIterator[Begun]:
    begun = Begun()
    unsubscribe = runtime.events.subscribe(begun)
    yield begun
    unsubscribe()


async def upload(endpoint: Endpoint, name: str) -> int:
    async with Wire(endpoint.address or "") as wire:
        return (await wire.ask("POST", FUNCTIONS, document(name))).status


@pytest.mark.parametrize(
    ("count", "framing", "start"),
    [(2, "Transfer-Encoding: chunked", b"1\r\n{\r\n"), (3, "Content-Length: 69000000", b"{")],
    ids=["chunked", "declared"],
)
async def test_those_that_stall_after_a_byte_hold_no_room(
    endpoint: Endpoint, begun: Begun, count: int, framing: str, start: bytes
) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        for _ in range(count):
            dawdler = await stack.enter_async_context(Dawdler(endpoint.address or ""))
            await dawdler.begin(framing, start)
        await begun.until(count)
        assert await upload(endpoint, "quick") == 201


async def test_one_that_stalls_while_others_wait_is_cut(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SHARED", MIB)
    monkeypatch.setattr(admission, "PACE_SECONDS", 0.2)
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        answers = []
        for name in ("one", "other"):
            body = document(name)
            dawdler = await stack.enter_async_context(Dawdler(endpoint.address or ""))
            await dawdler.begin(f"Content-Length: {len(body)}", body[: 2 * MIB])
            answers.append(asyncio.create_task(dawdler.status()))
        # there is no room for both, so that the second waits for the first
        done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [408]
        assert await upload(endpoint, "quick") == 201
        assert [await each for each in waiting] == [408]


async def test_one_that_is_slow_while_nobody_waits_comes_to_its_end(
    endpoint: Endpoint, begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SHARED", 2 * MIB)
    monkeypatch.setattr(admission, "PACE_SECONDS", 0.0)
    body = document("slow")
    async with Dawdler(endpoint.address or "") as slow, asyncio.timeout(30):
        await slow.begin(f"Content-Length: {len(body)}", body[: 5 * MIB // 2])
        await begun.until(1)
        async with Wire(endpoint.address or "") as wire:
            for _ in range(20):
                assert (await wire.ask("GET", FUNCTIONS)).status == 200
        await slow.send(body[5 * MIB // 2 :])
        assert await slow.status() == 201


async def test_many_at_once_that_do_not_fit_come_to_their_ends(
    endpoint: Endpoint, runtime: LambdaRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SHARED", MIB)
    monkeypatch.setattr(admission, "PACE_SECONDS", FOREVER)
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(upload(endpoint, f"f{number}") for number in range(8)))
    assert answers == [201] * 8
    assert len(runtime.functions()) == 8


def a_body(size: int) -> Body:
    def nothing(_: object = None) -> None: ...

    return Body(LengthDecoder(size), pause=nothing, resume=nothing, finished=nothing)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def feed(body: Body, size: int) -> None:
    body.feed(bytes(size), 0, size)


async def test_what_all_hold_stays_within_the_shared_room_and_one_whole_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, size, piece = 1000, 800, 100
    monkeypatch.setattr(admission, "SHARED", shared)
    room = Admission()
    bodies = [a_body(size) for _ in range(5)]
    most = 0

    async def answer(body: Body) -> int:
        with room.upload() as upload:
            return len(await upload.read(body, size, FOREVER))

    answering = [asyncio.create_task(answer(body)) for body in bodies]
    for _ in range(size // piece):
        for body in bodies:
            feed(body, piece)
            await settle()
            most = max(most, room.held)
    async with asyncio.timeout(30):
        assert await asyncio.gather(*answering) == [size] * 5
    assert shared < most <= shared + size
    assert room.held == 0


async def test_one_that_waits_is_not_read_and_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SHARED", 1000)
    room = Admission()
    first, second, third = a_body(5000), a_body(4 * HIGH_WATER), a_body(2000)

    async def answer(body: Body) -> Any:
        with room.upload() as upload:
            return len(await upload.read(body, 4 * HIGH_WATER, FOREVER))

    answering = [asyncio.create_task(answer(body)) for body in (first, second, third)]
    feed(first, 4000)
    await settle()
    for _ in range(4):
        feed(second, 300)
        await settle()
    feed(third, 100)
    await settle()
    assert room.held == 4000 + 900
    feed(second, 2 * HIGH_WATER)
    assert second.paused
    answering[1].cancel()
    await settle()
    assert room.held == 4000 + 100
    feed(first, 1000)
    feed(third, 1900)
    async with asyncio.timeout(30):
        assert await answering[0] == 5000
        assert await answering[2] == 2000
    assert room.held == 0


async def test_all_can_be_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SHARED", 1000)
    room = Admission()
    bodies = [a_body(5000) for _ in range(4)]

    async def answer(body: Body) -> None:
        with room.upload() as upload:
            await upload.read(body, 5000, FOREVER)

    answering = [asyncio.create_task(answer(body)) for body in bodies]
    for _ in range(4):
        for body in bodies:
            feed(body, 600)
            await settle()
    for each in answering:
        each.cancel()
    ends = await asyncio.gather(*answering, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 4
    assert room.held == 0
