"""`GET /_stoker/metrics`: what happened since the endpoint was first opened, in Prometheus' text format.

Counted from the bus, whoever invokes: the endpoint, the window or the event queue. The registry is of this endpoint
alone; the client library's process-wide one is not used.
Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.endpoint.event_facts import invocation_status
from core.endpoint.facts import STATES
from core.endpoint.health import version
from core.endpoint.routes import Route
from core.endpoint.tallies import OTHERS, FunctionNames, Histogram, Tally
from core.events import CallEnded, InstanceChanged, InvocationEnded, InvocationStarted, InvocationThrottled
from core.instances import InstanceState

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.runtime import LambdaRuntime

__all__ = ["Metrics"]

_MOST_FUNCTIONS = 200
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_WAITS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)
_INITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics(Collector):
    """Counts for one endpoint. `operations` are those told apart; others are counted as one."""

    def __init__(self, runtime: LambdaRuntime, connections: Callable[[], int]) -> None:
        self._runtime = runtime
        self._connections = connections
        self._operations: frozenset[str] = frozenset()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._unsubscribe: list[Callable[[], None]] = []
        self._names = FunctionNames(_MOST_FUNCTIONS, self._known, self._merge)
        self._invocations, self._cold = Tally(), Tally()
        self._throttled, self._failed, self._reaped = Tally(), Tally(), Tally()
        self._durations, self._waits, self._inits = Histogram(_DURATIONS), Histogram(_WAITS), Histogram(_INITS)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._refused = 0

    def routes(self, operations: frozenset[str]) -> Sequence[Route]:
        """Its one route; `operations` are those whose calls are told apart."""
        self._operations = operations
        return (Route("GET", "/_stoker/metrics", "GetMetrics", self._answer),)

    def open(self) -> None:
        """Begin to count. Harmless when called again."""
        if not self._unsubscribe:
            subscribe = self._runtime.events.subscribe
            self._unsubscribe = [
                subscribe(self._ended, InvocationEnded),
                subscribe(self._started, InvocationStarted),
                subscribe(self._was_throttled, InvocationThrottled),
                subscribe(self._moved, InstanceChanged),
                subscribe(self._called, CallEnded),
            ]

    def close(self) -> None:
        """Count no more."""
        while self._unsubscribe:
            self._unsubscribe.pop()()

    def refused(self) -> None:
        """A request was turned away before it reached an operation."""
        self._refused += 1

    async def _answer(self, call: Call) -> None:
        encode, kind = choose_encoder(call.exchange.header("accept") or "")
        call.send(200, encode(self._registry), [("content-type", kind), ("cache-control", "no-store")])

    # --- counting

    def _started(self, event: InvocationStarted) -> None:
        name = self._names.label(event.function_name)
        self._waits.observe(name, event.waited)
        if event.cold_start:
            self._cold.add(name)

    def _was_throttled(self, event: InvocationThrottled) -> None:
        self._throttled.add(self._names.label(event.function_name))

    def _moved(self, event: InstanceChanged) -> None:
        if event.new is InstanceState.FAILED:
            self._failed.add(self._names.label(event.instance.function_name))
        elif event.new is InstanceState.TERMINATING and event.old is InstanceState.IDLE and _for_idleness(event):
            self._reaped.add(self._names.label(event.instance.function_name))

    def _called(self, event: CallEnded) -> None:
        operation = event.operation if event.operation in self._operations else "unknown"
        self._calls[operation, str(event.status or "none")] += 1

    def _ended(self, event: InvocationEnded) -> None:
        name = self._names.label(event.function_name)
        self._invocations.add(name, invocation_status(event))
        if event.result is not None and event.instance_id is not None:
            self._durations.observe(name, event.result.duration_ms / 1000)
            if event.result.init_ms is not None and event.result.cold_start:
                self._inits.observe(name, event.result.init_ms / 1000)

    def _known(self) -> list[str]:
        return [function.function_name for function in self._runtime.functions()]

    def _merge(self, name: str) -> None:
        for tally in (self._invocations, self._cold, self._throttled, self._failed, self._reaped):
            tally.merge(name, OTHERS)
        for histogram in (self._durations, self._waits, self._inits):
            histogram.merge(name, OTHERS)

    # --- telling

    def collect(self) -> Iterator[Metric]:
        """All metrics, for the registry."""
        yield _tally(
            "stoker_invocations",
            "Invocations that ended, by how: ok, function_error, cancelled, failed.",
            ("function", "status"),
            self._invocations,
        )
        yield _histogram("stoker_invocation_duration_seconds", "Time in the function.", self._durations)
        yield _histogram("stoker_invocation_queue_seconds", "Time until an instance took it.", self._waits)
        yield _histogram("stoker_init_duration_seconds", "Init of instances, by cold starts.", self._inits)
        by_function = ("function",)
        yield _tally("stoker_cold_starts", "Invocations that waited for a start.", by_function, self._cold)
        yield _tally("stoker_throttles", "Invocations refused with 429.", by_function, self._throttled)
        yield _tally("stoker_launch_failures", "Instances that did not come up.", by_function, self._failed)
        yield _tally("stoker_idle_reaps", "Instances ended because nobody used them.", by_function, self._reaped)
        yield from self._now()
        calls = CounterMetricFamily("stoker_endpoint_calls", "Calls of the endpoint.", labels=("operation", "status"))
        for labels, count in self._calls.items():
            calls.add_metric(labels, count)
        yield calls
        yield CounterMetricFamily(
            "stoker_endpoint_refused",
            "Requests turned away: a foreign host, a browser's page, no token.",
            self._refused,
        )

    def _now(self) -> Iterator[Metric]:
        """What can be asked for at this moment."""
        runtime = self._runtime
        states: Counter[tuple[str, InstanceState]] = Counter()
        waiting: Counter[str] = Counter()
        for key in self._known():
            name = self._names.label(key)
            waiting[name] += runtime.waiting(key)
            for state in STATES:
                states[name, state] += 0
        for instance in runtime.instances():
            states[self._names.label(instance.function_name), instance.state] += 1
        instances = GaugeMetricFamily("stoker_instances", "Instances in the pool.", labels=("function", "state"))
        for (name, state), count in states.items():
            instances.add_metric((name, state.value), count)
        yield instances
        depth = GaugeMetricFamily("stoker_queue_depth", "Invocations that wait for an instance.", labels=("function",))
        for name, count in waiting.items():
            depth.add_metric((name,), count)
        yield depth
        yield GaugeMetricFamily("stoker_invocations_running", "Invocations under way.", runtime.running())
        yield GaugeMetricFamily("stoker_queued_events", "Events that are not settled.", len(runtime.event_queue))
        yield GaugeMetricFamily("stoker_endpoint_connections", "Open connections.", self._connections())
        up = GaugeMetricFamily("stoker_backend_up", "Whether a backend can launch.", labels=("backend",))
        for backend, health in runtime.backends().items():
            up.add_metric((backend,), float(health.online))
        yield up
        info = GaugeMetricFamily("stoker_build_info", "This program; always 1.", labels=("version",))
        info.add_metric((version(),), 1)
        yield info


def _for_idleness(event: InstanceChanged) -> bool:
    return event.reason.startswith("idle for ")


def _tally(name: str, text: str, labels: Sequence[str], tally: Tally) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in tally:
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("function",))
    for function, buckets, total in histogram:
        family.add_metric((function,), buckets, total)
    return family
