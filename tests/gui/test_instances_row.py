"""How one instance reads in its row and its tooltip."""

from __future__ import annotations

from typing import Any

import pytest

from core.instances import InstanceExit, InstanceState, MemoryUsage, Phase
from gui.models.instance_row import FADE_IN, LINGER, LINGER_FAILED, InstanceRow
from tests.gui.instances_support import snapshot

NOW = 1_000.0
S = InstanceState


def row(**fields: Any) -> InstanceRow:
    made = InstanceRow(snapshot(**fields), appeared=NOW - 10)
    made.take(made.snapshot, NOW)
    return made


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (S.STARTING, "start 0.2 s"),
        (S.BUSY, "running 1.9 s"),
        (S.IDLE, "2.51 s"),
        (S.DRAINING, "finishing"),
        (S.TERMINATING, "ending 1.9 s"),
        (S.DEAD, "2.51 s"),
    ],
)
def test_last_says_what_it_does_or_did(state: S, text: str) -> None:
    made = row(
        state=state,
        created=NOW - (0.2 if state is S.STARTING else 60),
        changed=NOW - 1.9,
        last_duration_ms=2510,
        phases=(Phase("prepare", NOW - 0.2, 0.01), Phase("init", NOW - 0.19)) if state is S.STARTING else (),
    )
    assert made.last(NOW) == text


def test_a_phase_that_ended_replaces_the_one_that_began() -> None:
    made = row(state=S.STARTING, created=NOW - 1)
    made.take_phase(Phase("spawn", NOW - 1))
    made.take_phase(Phase("spawn", NOW - 1, 0.4))
    made.take_phase(Phase("init", NOW - 0.6))
    assert [(phase.name, phase.seconds) for phase in made.phases] == [("spawn", 0.4), ("init", None)]
    assert (made.last(NOW), made.phase()) == ("start 1.0 s", "init")


def test_the_countdown_is_shown_for_idle_instances_only() -> None:
    assert row(reap_at=NOW + 150).countdown(NOW) == (0.5, "2:30")
    assert row(reap_at=NOW - 3).countdown(NOW) == (0.0, "0:00")
    assert row(reap_at=None).countdown(NOW) is None
    assert row(reap_at=NOW + 150, state=S.BUSY).countdown(NOW) is None
    assert row(reap_at=NOW + 1, idle_ttl=0.0).countdown(NOW) == (0.0, "0:01")


def test_memory_is_a_share_of_the_limit() -> None:
    made = row(memory_limit_mb=128)
    assert made.memory_shown() is None
    made.memory = MemoryUsage(64 * 1024**2, 80 * 1024**2, "sampled")
    assert made.memory_shown() == (0.5, "64 MB")
    made.memory = MemoryUsage(256 * 1024**2, 256 * 1024**2, "sampled")
    assert made.memory_shown() == (1.0, "256 MB")


def test_the_remark_names_what_is_special() -> None:
    assert row().remark() == ""
    made = row(
        pinned=True,
        current_deploy=False,
        details={"runtime": "python3.13 asked for; runs under python3.11", "interpreter": "/usr/bin/python3.11"},
    )
    assert made.remark() == "pinned · old deploy · runs under python3.11"


def test_an_ended_instance_says_why_and_how() -> None:
    made = row(state=S.DEAD, reason="its process ended")
    made.exit = InstanceExit(code=3, reason="its process ended")
    assert made.remark() == "its process ended, exit code 3"
    made.exit = InstanceExit(signal=9, out_of_memory=True)
    assert made.remark() == "its process ended, out of memory"
    assert row(state=S.FAILED, reason="ValueError:\nno handler").remark() == "ValueError: no handler"


def test_age_stands_still_once_it_has_ended() -> None:
    assert row(created=NOW - 134).age(NOW) == "2m 14s"
    assert row(created=NOW - 134, changed=NOW - 72, state=S.DEAD).age(NOW) == "1m 02s"


def test_it_fades_in_lingers_and_is_due() -> None:
    made = InstanceRow(snapshot(), appeared=NOW)
    assert made.opacity(NOW) == 0.0
    assert made.opacity(NOW + 2 * FADE_IN) == 1.0
    made.take(snapshot(state=S.DEAD), NOW)
    assert not made.due(NOW + LINGER - 0.1)
    assert 0 < made.opacity(NOW + LINGER - 0.1) < made.opacity(NOW) < 1
    assert made.due(NOW + LINGER)


def test_a_failure_stays_longer_and_in_full_colour() -> None:
    made = row(state=S.FAILED, reason="it would not start")
    assert made.failed
    assert made.opacity(NOW) == 1.0
    assert not made.due(NOW + LINGER)
    assert made.due(NOW + LINGER_FAILED)


def test_the_tooltip_holds_everything_and_escapes_it() -> None:
    made = row(
        function_name="words",
        reason="<b>bold</b>",
        details={"memory": "sampled <every> second"},
        phases=(Phase("init", NOW - 2, 0.0132),),
        request_id="4f0c",
    )
    made.memory = MemoryUsage(38 * 1024**2, 40 * 1024**2, "cgroup")
    tip = made.tooltip(NOW)
    for part in ("i-7c1e90ab", "pid 4711", "start: init", "13 ms", "4f0c", "38 MB of 256 MB, cgroup", "&lt;b&gt;bold"):
        assert part in tip
    assert "<b>" not in tip
