"""What the queue needs of the runtime that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.events import EventBus
    from core.functions import LambdaFunction
    from core.invocation import StreamingInvocation
    from core.journal import Journal
    from core.registry import Registry
    from core.settings import Settings

__all__ = ["Serving"]


class Serving(Protocol):
    """See `core.runtime.LambdaRuntime`."""

    registry: Registry
    journal: Journal
    settings: Settings
    events: EventBus
    news: list[str]

    def function(self, name: str) -> LambdaFunction:
        """Raises FunctionNotFoundError."""
        ...

    async def invoke_streaming(
        self,
        name: str,
        payload: bytes | str = b"{}",
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        source: str = "api",
        invoked_arn: str | None = None,
        trace_id: str | None = None,
    ) -> StreamingInvocation:
        """Invoke, and return when the head of the reply is there."""
        ...
