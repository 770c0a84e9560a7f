"""An instance's reply as the facade reads it, whatever the way to the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.emulator.runtime_api import InvokeOutcome

__all__ = ["EndpointError", "Reply"]


class EndpointError(Exception):
    """The instance could not be asked, or its reply broke off, for a reason that is not the function's.

    `sent` is False where not a byte of the event had gone out, so that another instance may be asked.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Reply(Protocol):
    """An instance's reply from its head on. After `next_chunk` gave None, `outcome` is set."""

    @property
    def content_type(self) -> str:
        """Of the body."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether the body comes while the function still writes it."""
        ...

    @property
    def whole(self) -> bytes | None:
        """The whole body, where it is there and no error; None else. It can still be read."""
        ...

    @property
    def outcome(self) -> InvokeOutcome | None:
        """How the invocation ended; set with the last chunk."""
        ...

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body, None at its end. Raises EndpointError."""
        ...

    def close(self) -> None:
        """Stop reading, as far as that needs no waiting: what was logged so far may be in `outcome` then."""
        ...

    async def aclose(self) -> None:
        """Stop reading; wakes a pending `next_chunk`, which then gives None."""
        ...
