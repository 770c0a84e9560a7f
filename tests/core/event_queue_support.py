"""What the tests of the event queue share: a function that notes each attempt, and a watch on the bus."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.events import Event, EventReturned, EventSettled, Trouble
from tests.core.sources import python_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.functions import LambdaFunction
    from core.runtime import LambdaRuntime

__all__ = ["Watch", "attempts", "noting_function", "told"]

_E = TypeVar("_E", bound=Event)

# Notes each attempt in the file NOTES names and says so, then does what its event says: {"gate": FIFO} waits there,
# {"fail": N} fails the first N attempts of this event, {"reply": X} returns X.
_NOTING = """\
    import json, os

    def handler(event, context):
        facts = {"id": context.aws_request_id, "arn": context.invoked_function_arn, "event": event}
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(json.dumps(facts) + "\\n")
        print("noted", flush=True)
        if not isinstance(event, dict):
            return event
        if "gate" in event:
            with open(event["gate"], "rb", buffering=0) as gate:
                gate.read(2)
        if "fail" in event:
            with open(os.environ["NOTES"]) as notes:
                made = sum(json.loads(line)["id"] == context.aws_request_id for line in notes)
            if made <= event["fail"]:
                raise ValueError(f"attempt {made}")
        return event.get("reply", "done")
"""


def noting_function(folder: Path, name: str = "noting", **fields: Any) -> LambdaFunction:
    """A function that notes each attempt in `folder/NAME.notes`."""
    notes = folder / f"{name}.notes"
    return python_function(folder, _NOTING, name, environment={"NOTES": str(notes)}, **fields)


def attempts(folder: Path, name: str = "noting") -> list[dict[str, Any]]:
    """What that function noted: one dict an attempt, with its request id, invoked ARN and event."""
    notes = folder / f"{name}.notes"
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def told(folder: Path, name: str = "told") -> list[dict[str, Any]]:
    """The records that a noting function got as a destination."""
    return [each["event"] for each in attempts(folder, name)]


class Watch:
    """Keeps all events of the bus, and waits until what they say is so."""

    def __init__(self, runtime: LambdaRuntime) -> None:
        self.seen: list[Event] = []
        self._more = asyncio.Event()
        runtime.events.subscribe(self._take)

    def _take(self, event: Event) -> None:
        self.seen.append(event)
        self._more.set()

    def of(self, kind: type[_E]) -> list[_E]:
        """All events of a kind."""
        return [event for event in self.seen if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until it holds, looking again at every event."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._more.clear()
                await self._more.wait()

    async def settled(self, count: int = 1, seconds: float = 30.0) -> list[EventSettled]:
        """Wait until so many events are settled; returns them."""
        await self.until(lambda: len(self.of(EventSettled)) >= count, seconds)
        return self.of(EventSettled)

    async def returned(self, count: int = 1) -> list[EventReturned]:
        """Wait until events were put back so often; returns how."""
        await self.until(lambda: len(self.of(EventReturned)) >= count)
        return self.of(EventReturned)

    @property
    def troubles(self) -> list[str]:
        """What a person was told."""
        return [f"{event.about}: {event.message}" for event in self.of(Trouble)]
