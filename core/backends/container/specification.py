"""What is asked of the engine for one instance: image, command, environment, mounts and limits.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html and, for how AWS's base
images start, https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.backends.container.labels import Labels, container_name
from core.backends.container.relays import Service
from core.backends.environment import CREDENTIALS, lambda_variables
from core.limits import RESERVED_ENVIRONMENT
from core.names import HOST_ALIAS
from core.runtimes import RuntimeFamily

if TYPE_CHECKING:
    from docker import APIClient

    from core.functions import LambdaFunction

__all__ = [
    "Mounted",
    "Specification",
    "command_of",
    "environment_of",
    "image_of",
    "local_services",
    "mounts_of",
    "on_host",
    "platform_of",
]

TASK_ROOT = "/var/task"
LAYERS_ROOT = "/opt"
_CUSTOM_ROOT = "/var/runtime"

# What may follow a URL's host and port. A template's `{port}` or `$PORT` is not among it: nobody knows what it becomes.
_AFTER = r"""[/?#\\\s,;=&|"'`)\]<>}]"""
_LOCAL_URL = re.compile(
    # without a user first: a query that follows may have an @ of its own
    r"""(?P<scheme>https?)://(?P<user>[^/?#\s"<>]*?@)??"""
    r"(?P<host>localhost\.?|127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    rf"(?=\.?(?:{_AFTER}|$))",
    re.IGNORECASE,
)
_OPEN_FILES = 1024
_PROCESSES = 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mounted:
    """A directory of this machine that the container reads at `target`."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Specification:
    """One container, complete but for what only its launch knows. Nothing in here is a secret but `environment`.

    `host` is the address of this machine as containers reach it, or an engine's word for it. `mounts` are
    left out of the container where they are to be copied into it. `role` tells a second container of the
    same instance from its first.
    """

    labels: Labels
    image: str
    platform: str
    command: Sequence[str] | None
    entrypoint: Sequence[str] | None
    working_directory: str | None
    environment: dict[str, str] = field(repr=False)
    mounts: Sequence[Mounted]
    memory_mb: int
    tmp_mb: int
    host: str
    publish_port: int | None = None
    role: str = ""
    copied: bool = False

    @property
    def name(self) -> str:
        """The container's own name."""
        return container_name(self.labels) + (f"-{self.role}" if self.role else "")

    def create(self, client: APIClient) -> str:
        """Create the container; returns its id. Blocks, and raises what the SDK raises."""
        from docker.types import LogConfig, Mount, Ulimit

        mounted = () if self.copied else self.mounts
        extra: dict[str, Any] = {}
        if self.publish_port is not None:
            extra["port_bindings"] = {self.publish_port: ("127.0.0.1", None)}
        host = client.create_host_config(
            # a /tmp in memory counts against the container's: it gets room of its own
            mem_limit=(self.memory_mb + self.tmp_mb) * _MIB,
            memswap_limit=(self.memory_mb + self.tmp_mb) * _MIB,
            tmpfs={"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={self.tmp_mb}m"},
            mounts=[Mount(m.target, str(m.source), type="bind", read_only=True) for m in mounted],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # the kernel minds nproc for no process of root's, as most images' are
            pids_limit=_PROCESSES,
            ulimits=[
                Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES),
                Ulimit(name="nproc", soft=_PROCESSES, hard=_PROCESSES),
            ],
            extra_hosts={HOST_ALIAS: self.host},
            log_config=LogConfig(type="none"),
            restart_policy=None,
            **extra,
        )
        command = self.command
        if self.entrypoint is not None and command is None:
            # an engine drops the image's own together with its entry point; on Lambda each is replaced by itself
            image: Any = client
            command = (image.inspect_image(self.image).get("Config") or {}).get("Cmd")
        created = client.create_container(
            self.image,
            command=list(command) if command is not None else None,
            entrypoint=list(self.entrypoint) if self.entrypoint is not None else None,
            working_dir=self.working_directory,
            environment=self.environment,
            labels=self.labels.as_dict(),
            host_config=host,
            name=self.name,
            ports=[self.publish_port] if self.publish_port is not None else None,
            platform=self.platform,
            # whoever stops it, an engine that shuts down above all, need not wait: as the first process of
            # its container a runtime does not hear SIGTERM
            stop_signal="SIGKILL",
            stdin_open=False,
            tty=False,
        )
        return str(created["Id"])


def image_of(function: LambdaFunction) -> str:
    """The image that a function runs on, by AWS's name. Raises ValueError for a runtime that has none."""
    if function.image_uri is not None:
        return function.image_uri
    runtime = function.runtime_info
    if runtime is None or runtime.base_image is None:
        raise ValueError(f"there is no base image for {function.runtime}")
    return runtime.base_image


def platform_of(architecture: str) -> str:
    """An architecture of Lambda's as an engine names it."""
    return "linux/arm64" if architecture == "arm64" else "linux/amd64"


def environment_of(
    function: LambdaFunction,
    token: str,
    runtime_api: str | None,
    relayed: Mapping[Service, int] | None = None,
) -> dict[str, str]:
    """What the container's process finds in its environment, beside what the image sets.

    Without a `runtime_api` the image's own emulator serves the runtime. `relayed` tells at which ports this
    machine's services are found instead of their own.
    """
    environment = {"TZ": ":UTC", **CREDENTIALS}
    for name, value in function.environment.items():
        if name not in RESERVED_ENVIRONMENT:
            environment[name] = on_host(value, relayed or {})
    environment |= lambda_variables(function, token)
    environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(function.timeout)
    if function.handler is not None:
        environment["AWS_LAMBDA_FUNCTION_HANDLER"] = function.handler
    if runtime_api is not None:
        environment["AWS_LAMBDA_RUNTIME_API"] = runtime_api
    return environment


def on_host(value: str, relayed: Mapping[Service, int]) -> str:
    """A value with the URLs in it that mean this machine written as a container can reach them.

    The port of a service that is not `relayed` stays as it is.
    """

    def written(url: re.Match[str]) -> str:
        port = relayed.get(_meant(url)) or url["port"]
        return f"{url['scheme']}://{url['user'] or ''}{HOST_ALIAS}" + (f":{port}" if port else "")

    return _LOCAL_URL.sub(written, value)


def local_services(function: LambdaFunction) -> frozenset[Service]:
    """The services on this machine that URLs in the function's environment name."""
    named = (_meant(url) for value in function.environment.values() for url in _LOCAL_URL.finditer(value))
    return frozenset(service for service in named if 0 < service.port < 65_536)


def _meant(url: re.Match[str]) -> Service:
    """The service that a URL of this machine names; one without a port means its scheme's own."""
    usual = 80 if url["scheme"].lower() == "http" else 443
    return Service(int(url["port"] or usual), ipv6=url["host"].startswith("["))


def command_of(function: LambdaFunction) -> tuple[Sequence[str] | None, Sequence[str] | None, str | None]:
    """Entry point, command and working directory; None leaves the image's own."""
    if function.image_uri is None:
        return None, (function.handler or "",), None
    config = function.image_config
    if config is None:
        return None, None, None
    return config.entry_point or None, config.command or None, config.working_directory


def mounts_of(function: LambdaFunction, code: Path | None, layers: Path | None) -> list[Mounted]:
    """Where code and layers are seen: a custom runtime's `bootstrap`, of either, lies where the image looks for it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
    """
    found = []
    if code is not None:
        found.append(Mounted(code, TASK_ROOT))
        runtime = function.runtime_info
        if runtime is not None and runtime.family is RuntimeFamily.PROVIDED:
            in_layer = layers is not None and not (code / "bootstrap").exists() and (layers / "bootstrap").exists()
            found.append(Mounted(layers if in_layer and layers is not None else code, _CUSTOM_ROOT))
    if layers is not None:
        found.append(Mounted(layers, LAYERS_ROOT))
    return found
