"""Real functions for tests of the window, and ways to use it as a person would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from core.functions import LambdaFunction

Found = TypeVar("Found", bound=QObject)

ECHO = "def handler(event, context):\n    return event\n"
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"
SLOW = "import time\n\n\ndef handler(event, context):\n    time.sleep(event.get('seconds', 0))\n    return 'done'\n"


def python_code(folder: Path, text: str) -> Path:
    """A folder that holds `app.py` with `text`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(text)
    return folder


def python_function(name: str, code: Path, **fields: object) -> LambdaFunction:
    """A function whose handler is app.handler, for whichever Python there is."""
    given = {"runtime": "python3.11", "handler": "app.handler", "code": code, **fields}
    return LambdaFunction(function_name=name, **given)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what a widget shows has no event
            await asyncio.sleep(0.005)


def find(parent: QObject, kind: type[Found], name: str) -> Found:
    """The child of that object name."""
    found = parent.findChild(kind, name)
    assert found is not None, f"there is no {kind.__name__} named {name}"
    return found


async def appears(parent: QObject, kind: type[Found], name: str) -> Found:
    """The same, once it is visible."""

    def there() -> Found | None:
        found = parent.findChild(kind, name)
        return found if isinstance(found, QWidget) and found.isVisible() else None

    await until(there)
    found = there()
    assert found is not None
    return found


def click(parent: QObject, name: str) -> None:
    """Press and release the left button on the child of that name."""
    button = find(parent, QWidget, name)
    assert button.isVisible(), f"{name} is not visible"
    assert button.isEnabled(), f"{name} is disabled: {button.toolTip()}"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
