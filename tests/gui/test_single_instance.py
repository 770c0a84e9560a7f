"""A second start in the same home raises the first one's window."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gui.single_instance import WindowSocket, raise_first, socket_path


async def ask_elsewhere(home: Path) -> bool:
    """What a second process does, on a thread: it blocks."""
    with ThreadPoolExecutor(1) as thread:
        return await asyncio.wrap_future(thread.submit(raise_first, home))


async def test_the_first_is_raised(tmp_path: Path) -> None:
    raised: list[bool] = []
    listener = WindowSocket(tmp_path, lambda: raised.append(True))
    await listener.open()
    assert await ask_elsewhere(tmp_path)
    assert raised == [True]
    assert not await ask_elsewhere(tmp_path / "another home")
    await listener.close()
    assert not socket_path(tmp_path).exists()
    assert not await ask_elsewhere(tmp_path)


async def test_a_socket_that_a_killed_stoker_left_is_replaced(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    assert not raise_first(tmp_path)
    raised: list[bool] = []
    listener = WindowSocket(tmp_path, lambda: raised.append(True))
    await listener.open()
    assert await ask_elsewhere(tmp_path)
    await listener.close()


async def test_something_else_that_is_said_raises_nothing(tmp_path: Path) -> None:
    raised: list[bool] = []
    listener = WindowSocket(tmp_path, lambda: raised.append(True))
    await listener.open()
    reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await reader.read() == b""
    writer.close()
    await listener.close()
    assert not raised


async def test_a_home_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert socket_path(tmp_path / "home") == socket_path(tmp_path / "link" / ".." / "link")
