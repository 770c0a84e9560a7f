"""A response that is there as a whole can be passed on before it is measured and logged how it went."""

from __future__ import annotations

import asyncio

from tests.core.emulator.support import Bench, Client, bench, read_all, request


def _kinds(it: Bench) -> list[str]:
    return [line.split(" ", 1)[0] for line in it.lines]


async def test_the_outcome_of_a_whole_reply_is_made_when_it_is_asked_for() -> None:
    measured: list[int] = []

    def peak() -> int:
        measured.append(1)
        return 1024 * 1024

    async with bench(peak_memory=peak) as it:
        client = await it.client()

        async def serve() -> None:
            await client.next()
            assert (await client.respond("r1", b"true")).status == 202

        serving = asyncio.ensure_future(serve())
        reply = await it.api.invoke(request())
        assert reply.whole == b"true"
        assert reply.function_error is None
        assert measured == []
        outcome = reply.outcome
        assert measured == [1]
        assert outcome is not None
        assert outcome.max_memory_mb == 1
        assert outcome.log_tail.splitlines()[-1].startswith("REPORT RequestId: r1")
        assert reply.outcome is outcome
        assert await read_all(reply) == b"true"
        await serving
        assert measured == [1]


async def test_what_nobody_asks_for_is_logged_before_the_runtime_goes_on() -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        assert (await client.respond("r1")).status == 202
        assert _kinds(it) == ["START", "END", "REPORT"]
        await running


async def test_the_next_invocation_is_logged_behind_one_of_which_nobody_asked() -> None:
    async with bench() as it:
        one, two = await it.client(), await it.client()

        async def serve(client: Client) -> None:
            event = await client.next()
            await client.respond(event.headers["lambda-runtime-aws-request-id"], b'"done"')

        serving = [asyncio.ensure_future(serve(client)) for client in (one, two)]
        await it.api.ready()
        # both without a turn of the loop between, in which the first would be logged
        assert (await it.api.invoke(request("r1"))).whole == b'"done"'
        assert (await it.api.invoke(request("r2"))).whole == b'"done"'
        await asyncio.gather(*serving)
        assert _kinds(it) == ["START", "END", "REPORT"] * 2


async def test_an_error_is_not_passed_on_before_its_outcome() -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        answer = await client.post("/invocation/r1/error", b'{"errorMessage": "no", "errorType": "E"}')
        assert answer.status == 202
        reply = await running
        assert reply.whole is None
        assert reply.function_error == "Unhandled"
