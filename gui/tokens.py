"""The colours by role, in dark and in light. Both text colours have at least 4.5:1 on their grounds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from core.instances import InstanceState

__all__ = ["DARK", "LIGHT", "Tokens", "state_token"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The palette by role, as #rrggbb."""

    background: str
    panel: str
    raised: str
    line: str
    text: str
    dim: str
    accent: str
    on_accent: str
    busy: str
    idle: str
    starting: str
    draining: str
    ok: str
    error: str
    selection: str


DARK = Tokens(
    background="#15171a",
    panel="#1c1f23",
    raised="#23272c",
    line="#2d3238",
    text="#e8e6e3",
    dim="#9aa0a6",
    accent="#f0803c",
    on_accent="#1a1008",
    busy="#f0803c",
    idle="#5aa9e6",
    starting="#d9b44a",
    draining="#a78bda",
    ok="#62b77a",
    error="#ef6461",
    selection="#2b2420",
)
LIGHT = Tokens(
    background="#f6f5f3",
    panel="#ffffff",
    raised="#fbfaf8",
    line="#e3e0db",
    text="#23211e",
    dim="#6b665f",
    accent="#c2540a",
    on_accent="#ffffff",
    busy="#c2540a",
    idle="#1f6fb2",
    starting="#8f6a00",
    draining="#6b46b5",
    ok="#257a41",
    error="#b3261e",
    selection="#f6e9df",
)

_STATE_TOKENS = {
    InstanceState.STARTING: "starting",
    InstanceState.IDLE: "idle",
    InstanceState.BUSY: "busy",
    InstanceState.DRAINING: "draining",
    InstanceState.TERMINATING: "draining",
    InstanceState.FAILED: "error",
    InstanceState.DEAD: "dim",
}


def state_token(state: InstanceState) -> str:
    """The name of the colour that stands for an instance's state."""
    return _STATE_TOKENS[state]


assert {f.name for f in fields(Tokens)} >= set(_STATE_TOKENS.values())
