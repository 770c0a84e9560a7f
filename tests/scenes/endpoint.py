"""The states of the window that have to do with the endpoint and its calls."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.scenes.studio import Scene, Studio, until, warm_up

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime
    from gui.main_window import MainWindow

__all__ = ["SCENES"]

_CALLS = 400


async def _endpoint_off(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    await warm_up(runtime)
    await _publish(runtime)
    window.actions_.calls.setChecked(True)
    await studio.take(window)


async def _calls(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    await warm_up(runtime)
    await _publish(runtime)
    window.actions_.calls.setChecked(True)
    client = await _turn_on(window)
    for work in (
        client.list_functions,
        lambda: client.get_function(FunctionName="sample-echo"),
        lambda: client.invoke(FunctionName="sample-echo", Payload=b'{"message": "hello"}'),
        lambda: client.invoke(FunctionName="sample-echo:1", Payload=b'{"message": "hello"}'),
        lambda: client.invoke(FunctionName="sample-fails", Payload=b"{}"),
        lambda: client.invoke(FunctionName="no-such-function", Payload=b"{}"),
        lambda: client.create_alias(FunctionName="sample-echo", Name="live", FunctionVersion="2"),
        lambda: client.invoke(FunctionName="sample-echo:live", Payload=b'{"message": "hello"}'),
    ):
        await asyncio.to_thread(_whatever, work)
    text = " ".join(["The pilot light never goes out."] * 12)
    payload = json.dumps({"text": text, "delay_ms": 70}).encode()
    words = asyncio.ensure_future(
        asyncio.to_thread(
            _whatever,
            lambda: _read_all(client.invoke_with_response_stream(FunctionName="sample-words", Payload=payload)),
        )
    )
    await until(window, lambda: any("streaming" in text for text in _column(window, "status")), "the stream")
    window.functions.select("sample-echo")
    window.functions.select(None)
    await asyncio.sleep(1.2)
    await studio.take(window)
    await words


async def _calls_crowd(window: MainWindow, studio: Studio) -> None:
    await warm_up(window.context.runtime)
    window.actions_.calls.setChecked(True)
    window.centre.setSizes([260, 240, 360])
    client = await _turn_on(window)
    names = ("sample-echo", "sample-echo", "sample-fails", "sample-echo", "no-such-function")

    def many(first: int) -> None:
        for number in range(first, _CALLS, 4):
            _whatever(lambda name=names[number % 5]: client.invoke(FunctionName=name, Payload=b"{}"))  # type: ignore[misc]

    await asyncio.gather(*(asyncio.to_thread(many, first) for first in range(4)))
    await until(window, lambda: window.calls.model.rowCount() >= _CALLS, "all calls")
    window.calls.table.select_keys(window.calls.model.keys()[-6:-5])
    await studio.take(window)


async def _port_in_use(window: MainWindow, studio: Studio) -> None:
    from gui.dialogs.endpoint import EndpointDialog

    await warm_up(window.context.runtime)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        window.endpoint.port = other.getsockname()[1]
        window.actions_.endpoint.trigger()
        await until(window, lambda: bool(window.findChildren(EndpointDialog)), "the dialog")
        (dialog,) = window.findChildren(EndpointDialog)
        await studio.take(window, dialog)
        dialog.reject()


async def _publish(runtime: LambdaRuntime) -> None:
    """Two published versions of the echo, one of them warm."""
    await runtime.publish_version("sample-echo", "the first")
    await runtime.add_function(runtime.function("sample-echo").replace(timeout=7))
    await runtime.publish_version("sample-echo", "the second")
    await runtime.launch("sample-echo:1")


async def _turn_on(window: MainWindow) -> Any:
    """As a person does; returns a client of it."""
    import boto3
    from botocore.config import Config

    from gui.endpoint import is_free

    window.endpoint.port = 9001 if is_free(9001) else 0
    window.actions_.endpoint.trigger()
    await until(window, lambda: window.endpoint.on, "the endpoint")
    return boto3.client(
        "lambda",
        endpoint_url=window.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )


def _whatever(work: Callable[[], object]) -> None:
    """An error that the client is told belongs to the picture."""
    from botocore.exceptions import ClientError

    with suppress(ClientError):
        work()


def _read_all(answer: dict[str, Any]) -> None:
    for _ in answer["EventStream"]:
        pass


def _column(window: MainWindow, title: str) -> list[str]:
    from gui.models.call_row import TITLES

    model, column = window.calls.model, TITLES.index(title)
    return [str(model.index(row, column).data()) for row in range(model.rowCount())]


SCENES: dict[str, Scene] = {
    "endpoint-off": _endpoint_off,
    "calls": _calls,
    "calls-crowd": _calls_crowd,
    "port-in-use": _port_in_use,
}
