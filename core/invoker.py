"""Carries invocations: wait for an instance, hand the event over, free the slot, write it down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from core.canned import init_failure
from core.concurrency import Running
from core.emulator.limits import MAX_REQUEST
from core.errors import (
    InitFailedError,
    InvalidRequestError,
    RequestTooLargeError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.events import InvocationEnded, InvocationStarted, InvocationStreaming, InvocationThrottled
from core.flight import Ending, Flight
from core.invocation import StreamingInvocation
from core.names import new_request_id
from core.replies import EndpointError

if TYPE_CHECKING:
    from core.concurrency import Limits
    from core.functions import LambdaFunction
    from core.home import Home
    from core.instance_client import InstanceClient
    from core.instances import Instance
    from core.invoke_options import InvokeOptions
    from core.pool import Waiter, WarmPool
    from core.replies import Reply
    from core.scribe import Scribe

__all__ = ["Invoker"]

# it becomes a part of a path and of headers
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Invoker:
    """Holds every invocation under way, from the moment it is asked for to its end."""

    def __init__(self, home: Home, pool: WarmPool, client: InstanceClient, scribe: Scribe, limits: Limits) -> None:
        self._events = home.events
        self._settings = home.settings
        self._pool = pool
        self._client = client
        self._scribe = scribe
        self._flights: dict[str, Flight] = {}
        self._running = Running(limits)
        self._waiters: dict[str, Waiter] = {}
        self._accepting = True
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._flights)

    async def invoke(self, function: LambdaFunction, payload: bytes, options: InvokeOptions) -> StreamingInvocation:
        """See `LambdaRuntime.invoke_streaming`."""
        if not self._accepting:
            raise RuntimeClosedError("Stoker is closing and takes no more invocations")
        self._check(function, payload, options.request_id)
        refusal = self._running.refusal(function)
        if refusal is not None:
            self._tell_throttled(refusal, options.source)
            raise refusal
        flight = self._under_way(function, payload, options)
        return await self._carry(flight, self._serve(flight))

    def at_once(self, function: LambdaFunction) -> bool:
        """Whether `begin` may be called: an instance of this process waits for just such an invocation."""
        instance = self._pool.ready(function.function_name)
        return (
            instance is not None
            and instance.warm is not None
            and self._accepting
            and not self._running.limited(function)
            and self._client.near(instance.warm.endpoint) is not None
        )

    def begin(
        self,
        function: LambdaFunction,
        payload: bytes,
        options: InvokeOptions,
        answered: Callable[[StreamingInvocation | Coroutine[Any, Any, StreamingInvocation]], None],
    ) -> None:
        """As `invoke`, without a task and without waiting for one: straight after `at_once` has said yes.

        `answered` is called once, perhaps at once: with the invocation when the head of its reply is there,
        or, where the instance turned out to be gone, with what is to be awaited for it.
        Raises InvalidRequestError and RequestTooLargeError.
        """
        self._check(function, payload, options.request_id)
        flight = self._under_way(function, payload, options)
        instance = self._pool.take(flight.function_name, flight.request_id)
        assert instance.warm is not None, "an idle instance was launched"
        api = self._client.near(instance.warm.endpoint)
        assert api is not None, "it was there when it was asked for"
        self._handed(flight, instance, cold=False)

        def told(found: Reply | EndpointError) -> None:
            if isinstance(found, EndpointError):
                answered(self._carry(flight, self._serve(flight, found)))
            else:
                self._has_head(flight, instance, found)
                answered(StreamingInvocation(flight))

        try:
            self._client.begin(api, flight.request_id, payload, options, told, timeout=float(function.timeout))
        except BaseException as error:
            # the instance must not be thought busy for ever; what it does is not known
            flight.refuse(error, str(error))
            raise

    def _under_way(self, function: LambdaFunction, payload: bytes, options: InvokeOptions) -> Flight:
        """A new flight, counted from now on."""
        flight = Flight(
            options.request_id or new_request_id(),
            function,
            payload=payload,
            options=options,
            ended=self._ended,
            overdue=self._overdue,
            keep=self._settings.record_limit if self._records(function) else 0,
        )
        self._flights[flight.request_id] = flight
        self._running.begun(function)
        self._idle.clear()
        return flight

    async def _carry(self, flight: Flight, serving: Coroutine[Any, Any, None]) -> StreamingInvocation:
        """Wait until it is served; whatever comes in between ends the flight."""
        try:
            await serving
        except asyncio.CancelledError:
            await flight.cancel()
            raise
        except BaseException as error:
            flight.refuse(error, str(error))
            if isinstance(error, TooManyRequestsError):
                self._tell_throttled(error, flight.source)
            raise
        return StreamingInvocation(flight)

    async def _serve(self, flight: Flight, error: EndpointError | None = None) -> None:
        """Find an instance and hand the event over: to a second one, where not a byte went to the first.

        `error` is of a first try that has been made already.
        """
        waiter: Waiter | None = None
        if error is not None:
            self._hand_back(flight, error)
        for last in (False, True) if error is None else (True,):
            # asked again, it keeps its place in the queue
            waiter = self._pool.enqueue(flight.function_name, flight.request_id, again=waiter)
            instance = await self._acquire(flight, waiter)
            if instance is None:
                return
            try:
                await self._hand_over(flight, instance)
            except EndpointError as broken:
                if last:
                    raise flight.fail(broken.reason) from broken
                self._hand_back(flight, broken)
            else:
                return

    def _hand_back(self, flight: Flight, error: EndpointError) -> None:
        """Another instance may be asked, unless the event has gone out. Raises InvocationFailedError."""
        if error.sent:
            raise flight.fail(error.reason) from error
        instance = flight.instance
        assert instance is not None, "it was handed to one"
        flight.handed_back()
        self._pool.release(instance, reuse=False, served=False, reason=error.reason, force=True)

    def running_of(self, name: str) -> int:
        """How many are under way of a function, all its versions together."""
        return self._running.of(name)

    def position(self, request_id: str) -> int:
        """Its place in its function's queue, counted from 1; 0 once it is served or unknown."""
        waiter = self._waiters.get(request_id)
        return self._pool.position(waiter) if waiter is not None else 0

    def stop_accepting(self) -> None:
        """Refuse what comes from now on."""
        self._accepting = False

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()

    async def cancel_all(self) -> None:
        """End every invocation that an instance serves. Those that wait are the pool's to refuse."""
        for flight in tuple(self._flights.values()):
            if flight.instance is not None and not flight.over:
                await flight.cancel()

    async def _acquire(self, flight: Flight, waiter: Waiter) -> Instance | None:
        """Wait in the queue for an instance. None where init failed: the flight has its reply then."""
        name, timeout = flight.function_name, self._settings.queue_timeout
        try:
            if not waiter.ready.done():
                self._waiters[flight.request_id] = waiter
                async with asyncio.timeout(timeout):
                    await asyncio.shield(waiter.ready)
            instance = waiter.ready.result()
        except TimeoutError:
            self._pool.withdraw(waiter)
            raise TooManyRequestsError(name, f"no instance was free for {timeout:g} s", timeout) from None
        except asyncio.CancelledError:
            self._pool.withdraw(waiter)
            raise
        except InitFailedError as error:
            flight.cold = True
            flight.answered(init_failure(error, flight))
            return None
        finally:
            self._waiters.pop(flight.request_id, None)
        self._handed(flight, instance, cold=waiter.cold)
        return instance

    def _handed(self, flight: Flight, instance: Instance, *, cold: bool) -> None:
        flight.handed_to(instance, cold)
        self._events.publish(
            InvocationStarted(
                request_id=flight.request_id,
                function_name=flight.function_name,
                instance_id=instance.id,
                cold_start=cold,
                waited=flight.waited,
                source=flight.source,
            )
        )

    async def _hand_over(self, flight: Flight, instance: Instance) -> None:
        assert instance.warm is not None, "a busy instance was launched"
        reply = await self._client.invoke(
            instance.warm.endpoint,
            flight.request_id,
            flight.payload,
            flight.options,
            timeout=float(flight.function.timeout),
        )
        if flight.over:
            await reply.aclose()
            return
        self._has_head(flight, instance, reply)

    def _has_head(self, flight: Flight, instance: Instance, reply: Reply) -> None:
        if flight.over:
            reply.close()
            return
        flight.answered(reply)
        if reply.streaming:
            self._events.publish(
                InvocationStreaming(
                    request_id=flight.request_id, function_name=flight.function_name, instance_id=instance.id
                )
            )

    def _ended(self, flight: Flight, ending: Ending) -> None:
        self._flights.pop(flight.request_id, None)
        self._running.ended(flight.function)
        result = ending.result
        if flight.instance is not None:
            self._pool.release(
                flight.instance,
                reuse=ending.reuse,
                reason=ending.reason,
                duration_ms=result.duration_ms if result else None,
                force=not ending.reuse,
            )
        self._scribe.invocation(flight, ending, self._records(flight.function))
        self._events.publish(
            InvocationEnded(
                request_id=flight.request_id,
                function_name=flight.function_name,
                instance_id=flight.instance_id,
                result=result,
                error=ending.error,
                source=flight.source,
            )
        )
        if not self._flights:
            self._idle.set()

    def _overdue(self, flight: Flight) -> None:
        """Past its deadline with a reader that does not read: the runtime goes, what arrived stays readable."""
        instance = flight.instance
        if instance is not None and not instance.state.final:
            self._pool.terminate(instance.id, force=True, reason=f"past its timeout of {flight.function.timeout} s")

    def _tell_throttled(self, error: TooManyRequestsError, source: str) -> None:
        self._events.publish(InvocationThrottled(function_name=error.function_name, reason=error.reason, source=source))

    def _check(self, function: LambdaFunction, payload: bytes, request_id: str | None) -> None:
        if len(payload) > MAX_REQUEST:
            raise RequestTooLargeError(function.function_name, len(payload), MAX_REQUEST)
        if request_id is None:
            return
        if not _REQUEST_ID.fullmatch(request_id):
            raise InvalidRequestError("request_id", request_id, "must be 1 to 128 letters, digits, and any of . _ -")
        if request_id in self._flights:
            raise InvalidRequestError("request_id", request_id, "an invocation of this id is under way: choose another")

    def _records(self, function: LambdaFunction) -> bool:
        return self._settings.record_payloads and function.record_payloads
