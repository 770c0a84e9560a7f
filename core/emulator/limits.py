"""Lambda's limits on what goes in and out of a function, in bytes.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

__all__ = ["LOG_TAIL", "MAX_REQUEST", "MAX_RESPONSE", "MAX_STREAMED_RESPONSE"]

MAX_REQUEST = 6 * 1024 * 1024
"""An event of a synchronous invocation."""

MAX_RESPONSE = 6 * 1024 * 1024 + 100
"""A buffered response; Lambda's message names 6291556 bytes."""

MAX_STREAMED_RESPONSE = 200 * 1024 * 1024
"""A streamed response."""

LOG_TAIL = 4 * 1024
"""What `LogType: Tail` returns of an invocation's log."""
