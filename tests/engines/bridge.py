"""A network for one engine's containers, that no other part of the machine uses."""

from __future__ import annotations

import json
import random
import subprocess
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from uuid import uuid4

from tests.engines.programs import DaemonError

__all__ = ["Bridge"]


class Bridge:
    """A network interface for containers, with the first free network that it comes across."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the engine's own; the name is noted there, for whoever cleans up after a crash."""
        self.name = f"stk{uuid4().hex[:10]}"
        self.network = _free_network()
        self.address = str(next(self.network.hosts()))
        self._note = directory / "bridge.name"

    def note(self) -> None:
        """Write its name down."""
        self._note.write_text(self.name)

    def make(self) -> None:
        """Raises DaemonError."""
        self.note()
        _ip("link", "add", self.name, "type", "bridge")
        try:
            _ip("address", "add", f"{self.address}/{self.network.prefixlen}", "dev", self.name)
            _ip("link", "set", self.name, "up")
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """It may have gone already."""
        with suppress(DaemonError):
            _ip("link", "delete", self.name)


def _free_network() -> IPv4Network:
    """One that no interface of this machine is in, nor any route of its own leads to."""
    routes = json.loads(_ip("-json", "-4", "route", "show", "table", "all"))
    taken = [_network(route["dst"]) for route in routes if route["dst"] != "default"]
    # two that look at the same time had better not find the same
    free = [
        network
        for network in IPv4Network("10.192.0.0/11").subnets(new_prefix=24)
        if not any(network.overlaps(each) for each in taken if each.prefixlen >= 12)
    ]
    if not free:
        raise DaemonError("every network of 10.192.0.0/11 is taken")
    return random.choice(free)


def _network(text: str) -> IPv4Network:
    return IPv4Network(text, strict=False)


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DaemonError("there is no ip: apt-get install iproute2") from None
    if done.returncode != 0:
        raise DaemonError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout
