"""The colours by role, in dark and in light. Both text colours have at least 4.5:1 on their grounds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

from core.instances import InstanceState

__all__ = ["DARK", "LIGHT", "Tokens", "ink", "state_token"]


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

# a pill's ground is its own colour, laid thinly over what is under it
_PILL = 0.14
_LEGIBLE = 4.5


@cache
def ink(tokens: Tokens, name: str) -> str:
    """A colour for words: the token, as far towards the text's as 4.5:1 asks on every ground and in a pill.

    Source: https://www.w3.org/TR/WCAG21/#contrast-minimum
    """
    colour = _parts(getattr(tokens, name))
    text = _parts(tokens.text)
    grounds = [_parts(each) for each in (tokens.background, tokens.panel, tokens.raised, tokens.selection)]
    grounds += [_mixed(colour, each, _PILL) for each in grounds]
    for step in range(0, 21):
        found = _mixed(text, colour, step / 20)
        if min(_contrast(found, ground) for ground in grounds) >= _LEGIBLE:
            break
    return "#" + "".join(f"{round(part * 255):02x}" for part in found)


def _parts(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _mixed(one: tuple[float, ...], other: tuple[float, ...], share: float) -> tuple[float, ...]:
    return tuple(a * share + b * (1 - share) for a, b in zip(one, other, strict=True))


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(parts: tuple[float, ...]) -> float:
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


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
