"""Events that were accepted to be delivered later (contract sketch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.names import Target

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime

__all__ = ["EventQueue"]


class EventQueue:
    """Delivers queued events, tries again as Lambda does, and tells destinations.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
    """

    def __init__(self, runtime: LambdaRuntime) -> None:
        self._runtime = runtime

    def __len__(self) -> int:
        return 0

    async def start(self) -> None:
        """Go on with what an earlier start left."""

    async def put(
        self,
        target: Target,
        payload: bytes,
        *,
        client_context: str | None = None,
        source: str = "api",
        request_id: str | None = None,
    ) -> str:
        """Accept an event; it survives a kill once this returns. Returns its request id.

        Raises FunctionNotFoundError, RequestTooLargeError, InvalidRequestError, RuntimeClosedError, HomeUnusableError.
        """
        raise RuntimeError("contract sketch")

    def stop(self) -> None:
        """Begin no further delivery."""

    async def close(self) -> None:
        """Wait for what is being delivered to be put back or done."""
