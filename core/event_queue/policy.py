"""When a queued event is tried again, and when it has had its chances.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.names import LATEST

if TYPE_CHECKING:
    from core.names import Target
    from core.registry import EventInvoke, Registry

__all__ = ["EVENT_AGE_EXCEEDED", "RETRIES_EXHAUSTED", "SUCCESS", "ZERO_RESERVED", "Policy", "refusal_delay"]

SUCCESS = "Success"
RETRIES_EXHAUSTED = "RetriesExhausted"
EVENT_AGE_EXCEEDED = "EventAgeExceeded"
ZERO_RESERVED = "ZeroReservedConcurrency"

_RETRIES = 2
_MAX_AGE = 21_600.0
_FIRST_REFUSAL = 1.0
_LONGEST_REFUSAL = 300.0


class Policy:
    """What holds for the events of a function under the qualifier that they were sent to, as configured now.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """

    def __init__(self, registry: Registry, target: Target) -> None:
        found: EventInvoke | None = registry.event_invokes.get(target.name, target.qualifier or LATEST)
        self.retries = _RETRIES if found is None or found.retries is None else found.retries
        self.max_age = _MAX_AGE if found is None or found.max_age is None else float(found.max_age)
        self.on_success = found.on_success if found else None
        self.on_failure = found.on_failure if found else None
        self.forbidden = registry.most_at_once(target.name) == 0
        """No reserved concurrency at all: events go to the destination for failures without being tried.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """

    def destination(self, outcome: str) -> str | None:
        """The ARN of the function that is told of this outcome, if any."""
        return (self.on_success if outcome == SUCCESS else self.on_failure) or None

    def after_failure(self, attempts: int, age: float, retry_delay: float) -> float | str:
        """The function failed for the `attempts`-th time: seconds until the next attempt, or the outcome.

        Lambda waits a minute (`retry_delay`) before the second attempt and two before the third.
        """
        if attempts > self.retries:
            return RETRIES_EXHAUSTED
        return self._unless_too_old(age, retry_delay * attempts)

    def after_refusal(self, refusals: int, age: float) -> float | str:
        """It did not reach the function, `refusals` times in a row: seconds until the next try, or the outcome."""
        return self._unless_too_old(age, refusal_delay(refusals))

    def _unless_too_old(self, age: float, delay: float) -> float | str:
        # Lambda gives up as soon as the next attempt would come too late
        return EVENT_AGE_EXCEEDED if age + delay > self.max_age else delay


def refusal_delay(refusals: int) -> float:
    """From 1 s up to 5 minutes, twice as long each time."""
    return min(_LONGEST_REFUSAL, _FIRST_REFUSAL * 2.0 ** min(refusals - 1, 20))
