"""The bus: who hears what, and in which order."""

from __future__ import annotations

import logging

import pytest

from core.events import DefaultBackendChanged, Event, EventBus, FunctionRemoved, Trouble


def test_who_asks_for_kinds_hears_only_those() -> None:
    bus = EventBus()
    everything: list[Event] = []
    some: list[Event] = []
    bus.subscribe(everything.append)
    bus.subscribe(some.append, FunctionRemoved, Trouble)
    events = [
        FunctionRemoved(function_name="a"),
        DefaultBackendChanged(backend="b"),
        Trouble(about="c", message="d"),
    ]
    for event in events:
        bus.publish(event)
    assert everything == events
    assert some == [events[0], events[2]]


def test_whether_anybody_wants_a_kind_follows_who_listens() -> None:
    bus = EventBus()
    assert not bus.wants(Trouble)
    leave = bus.subscribe(lambda _: None, FunctionRemoved)
    assert bus.wants(FunctionRemoved)
    assert not bus.wants(Trouble)
    all_of_them = bus.subscribe(lambda _: None)
    assert bus.wants(Trouble)
    all_of_them()
    leave()
    leave()
    assert not bus.wants(FunctionRemoved)


def test_what_is_held_comes_in_its_order_and_before_what_follows() -> None:
    bus = EventBus()
    heard: list[Event] = []
    bus.subscribe(heard.append)
    events = [Trouble(about=str(number), message="") for number in range(4)]
    bus.publish(events[0])
    bus.hold()
    bus.publish(events[1])
    bus.publish(events[2])
    assert heard == events[:1]
    bus.let_go()
    assert heard == events[:3]
    bus.publish(events[3])
    assert heard == events
    bus.let_go()
    assert heard == events


def test_a_subscriber_that_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    heard: list[Event] = []

    def fail(_: Event) -> None:
        raise ValueError("no")

    bus.subscribe(fail)
    bus.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        bus.publish(Trouble(about="", message=""))
    assert len(heard) == 1
    assert "a subscriber failed on Trouble" in caplog.text
