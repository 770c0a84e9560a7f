"""Where containers of an engine's default network find the machine that Stoker runs on."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["host_address"]

_DEFAULT_NETWORKS = ("bridge", "podman")


def host_address(client: APIClient) -> str:
    """The default network's gateway; loopback where there is no such network. Blocks.

    Before the first container runs, an engine may tell only the subnet: its gateway is then the first address.
    """
    from docker.errors import NotFound

    for name in _DEFAULT_NETWORKS:
        try:
            network = client.inspect_network(name)
        except NotFound:
            continue
        for config in (network.get("IPAM") or {}).get("Config") or []:
            if config.get("Gateway"):
                return str(config["Gateway"])
            if config.get("Subnet"):
                return str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
    return "127.0.0.1"
