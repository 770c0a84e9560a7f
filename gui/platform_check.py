"""Whether Qt could open a window here, told in one line before Qt is imported.

On a machine without a system library that its platform plugin needs, Qt aborts the process without
a Python exception; so the libraries are tried first, and the Debian package of each missing one is named.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Mapping

__all__ = ["missing_libraries", "platform_problem"]

# the library's name as the dynamic linker knows it, and the package that has it on Debian and Ubuntu
_ALWAYS = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}
_XCB = {
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libX11-xcb.so.1": "libx11-xcb1",
}
_WAYLAND = {
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
}


def platform_problem(
    environment: Mapping[str, str] | None = None, load: Callable[[str], object] = ctypes.CDLL
) -> str | None:
    """Why no window can be opened here, in one line; None where one can."""
    if sys.platform != "linux":
        return None
    found = os.environ if environment is None else environment
    chosen = found.get("QT_QPA_PLATFORM", "")
    if not chosen and not found.get("DISPLAY") and not found.get("WAYLAND_DISPLAY"):
        return (
            "there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set. Start Stoker on a desktop, "
            "or on a virtual screen with `xvfb-run -a stoker`."
        )
    missing = missing_libraries(_platform(chosen, found), load)
    if not missing:
        return None
    names = ", ".join(missing)
    packages = " ".join(dict.fromkeys(missing.values()))
    return f"Qt needs {names}, which this machine lacks. On Debian and Ubuntu: apt-get install {packages}"


def missing_libraries(platform: str, load: Callable[[str], object] = ctypes.CDLL) -> dict[str, str]:
    """The libraries that a platform plugin needs and that cannot be loaded, each with its package."""
    needed = dict(_ALWAYS)
    if platform == "xcb":
        needed |= _XCB
    elif platform == "wayland":
        needed |= _WAYLAND
    missing = {}
    for library, package in needed.items():
        try:
            load(library)
        except OSError:
            missing[library] = package
    return missing


def _platform(chosen: str, environment: Mapping[str, str]) -> str:
    # "xcb:options" and "wayland;xcb" are allowed; the first is the one that is tried first
    first = re.split("[;:]", chosen, maxsplit=1)[0]
    if first:
        return "wayland" if first.startswith("wayland") else first
    wayland = environment.get("WAYLAND_DISPLAY") and environment.get("XDG_SESSION_TYPE") != "x11"
    return "wayland" if wayland and not environment.get("DISPLAY") else "xcb"
