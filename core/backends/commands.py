"""What is run for a function: the program and its search paths, by the family of its runtime."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from core.backends.bundle import ClientBundle
from core.backends.environment import SearchPaths
from core.backends.node import OLDEST_NODE, NodeFinder, node_on_path
from core.backends.programs import ProgramFacts
from core.backends.pythons import Pythons
from core.errors import InitFailedError, UnsupportedRuntimeError

if TYPE_CHECKING:
    from core.archives import Archive
    from core.functions import LambdaFunction

__all__ = ["Command", "Commands", "unsupported_reason"]

_BACKEND = "process"
_CONTAINERS = ("docker", "podman", "kubernetes")
# Lambda's custom runtimes get no signal handler of ours to be polite for; the others may have one
_GRACE = 2.0
_CUSTOM_GRACE = 0.5
# e_machine of an ELF file, by what platform.machine() says
_MACHINES = {62: ("x86_64", "amd64"), 183: ("aarch64", "arm64")}


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one function. `grace` is how long it may take to end when it is asked, in seconds.

    `notes` are what a person should know, as key and text.
    """

    argv: tuple[str, ...]
    runtime_directory: Path
    paths: SearchPaths
    grace: float = _GRACE
    notes: dict[str, str] = field(default_factory=dict)


def unsupported_reason(function: LambdaFunction) -> str | None:
    """Why no local process can run `function`, or None. Looks at the function and at PATH only."""
    runtime = function.runtime or ""
    if function.package_type == "Image":
        return "an image needs a container engine"
    if runtime.startswith("nodejs"):
        return None if node_on_path() is not None else "node is not installed"
    if runtime.startswith(("python", "provided")):
        return None
    return "only Python, Node and custom runtimes run as local processes"


class Commands:
    """Makes the command for a function; finds and remembers the interpreters it needs."""

    def __init__(self, home: Path, executor: Executor) -> None:
        facts = ProgramFacts(home / "programs.json")
        self._pythons = Pythons(facts, executor)
        self._nodes = NodeFinder(facts, executor)
        self._pycache = home / "pycache"
        self._runtimes = Path(str(resources.files("resources"))) / "runtimes"

    def check(self, function: LambdaFunction) -> None:
        """Raise UnsupportedRuntimeError if no local process can run `function`."""
        if (reason := unsupported_reason(function)) is not None:
            raise _unsupported(function, reason)

    async def command(
        self, function: LambdaFunction, code: Archive, layers: Sequence[Archive], bundle: ClientBundle | None
    ) -> Command:
        """How to start `function` from these archives.

        Raises UnsupportedRuntimeError, and InitFailedError for a custom runtime without a `bootstrap`.
        """
        runtime = function.runtime or ""
        self.check(function)
        task_root = code.directory
        opt = [layer.directory for layer in reversed(layers)]
        if runtime.startswith("python"):
            if bundle is None:
                raise _unsupported(function, "AWS's client awslambdaric is not installed beside Stoker")
            command = await self._python(runtime.removeprefix("python"), task_root, opt, bundle)
        elif runtime.startswith("nodejs"):
            command = await self._node(function, task_root, opt)
        else:
            command = self._custom(function, task_root, opt)
        if wrapper := function.environment.get("AWS_LAMBDA_EXEC_WRAPPER"):
            return Command(
                (_at_home(wrapper, task_root, opt), *command.argv),
                command.runtime_directory,
                command.paths,
                command.grace,
                command.notes,
            )
        return command

    async def aclose(self) -> None:
        """Stop looking for interpreters."""
        await self._pythons.aclose()

    async def _python(self, minor: str, task_root: Path, opt: Sequence[Path], bundle: ClientBundle) -> Command:
        interpreter = await self._pythons.find(minor)
        notes = {"interpreter": f"{interpreter.path} (Python {'.'.join(map(str, interpreter.version))})"}
        if interpreter.minor != minor:
            notes["runtime"] = f"python{minor} asked for; runs under python{interpreter.minor}"
        home = self._runtimes / "python"
        of_layers = _present(
            [layer / "python" / "lib" / f"python{minor}" / "site-packages" for layer in opt]
            + [layer / "python" for layer in opt]
        )
        ours = [str(directory) for directory in bundle.directories]
        argv = (
            str(interpreter.path),
            "-S",
            "-s",
            str(home / "bootstrap.py"),
            str(self._pycache),
            str(task_root),
            *of_layers,
            "--",
            *ours,
        )
        paths = _search_paths(interpreter.path.parent, task_root, opt, python=(*of_layers, *ours))
        return Command(argv, home, paths, notes=notes)

    async def _node(self, function: LambdaFunction, task_root: Path, opt: Sequence[Path]) -> Command:
        node = await self._nodes.find()
        if node is None:
            raise _unsupported(function, "the node that is installed does not answer")
        if node.version[0] < OLDEST_NODE:
            raise _unsupported(function, f"it needs Node {OLDEST_NODE} or later, and {node.path} is {node.text}")
        notes = {"interpreter": f"{node.path} (Node {node.text})"}
        major = (function.runtime or "").removeprefix("nodejs").partition(".")[0]
        if major and major != str(node.version[0]):
            notes["runtime"] = f"{function.runtime} asked for; runs under Node {node.text}"
        home = self._runtimes / "nodejs"
        of_layers = _present(
            [layer / "nodejs" / f"node{major}" / "node_modules" for layer in opt]
            + [layer / "nodejs" / "node_modules" for layer in opt]
        )
        argv = (
            str(node.path),
            # as on Lambda: the heap ends below the function's memory, with V8's own message
            f"--max-old-space-size={max(64, function.memory_size * 9 // 10)}",
            str(home / "bootstrap.mjs"),
        )
        paths = _search_paths(node.path.parent, task_root, opt, node=(*of_layers, str(task_root)))
        return Command(argv, home, paths, notes=notes)

    def _custom(self, function: LambdaFunction, task_root: Path, opt: Sequence[Path]) -> Command:
        found = next((path for root in (task_root, *opt) if (path := root / "bootstrap").is_file()), None)
        if found is None:
            raise _invalid_entrypoint(
                function, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
            )
        if not os.access(found, os.X_OK):
            raise _invalid_entrypoint(function, f"fork/exec {_shown(found, task_root)}: permission denied")
        if (why := _not_a_program(found)) is not None:
            raise _invalid_entrypoint(function, f"fork/exec {_shown(found, task_root)}: exec format error ({why})")
        return Command((str(found),), task_root, _search_paths(None, task_root, opt), grace=_CUSTOM_GRACE)


def _search_paths(
    programs: Path | None,
    task_root: Path,
    opt: Sequence[Path],
    *,
    python: Sequence[str] = (),
    node: Sequence[str] = (),
) -> SearchPaths:
    return SearchPaths(
        programs=(str(programs) if programs is not None else "", *_present([layer / "bin" for layer in opt])),
        libraries=(str(task_root), *_present([task_root / "lib", *(layer / "lib" for layer in opt)])),
        python=tuple(python),
        node=tuple(node),
    )


def _present(directories: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(directory) for directory in directories if directory.is_dir())


def _at_home(path: str, task_root: Path, opt: Sequence[Path]) -> str:
    """Where a path under Lambda's `/opt` or `/var/task` is on this machine."""
    if path.startswith("/opt/"):
        places = [layer / path.removeprefix("/opt/") for layer in opt]
        return str(next((place for place in places if place.exists()), path))
    if path.startswith("/var/task/"):
        return str(task_root / path.removeprefix("/var/task/"))
    return path


def _shown(path: Path, task_root: Path) -> str:
    return "/var/task/bootstrap" if path.parent == task_root else "/opt/bootstrap"


def _not_a_program(path: Path) -> str | None:
    """Why the kernel would refuse to execute `path`; the shell that starts it would not."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        return error.strerror or str(error)
    if head.startswith(b"\x7fELF") and len(head) == 20:
        machine = int.from_bytes(head[18:20], "little")
        names = _MACHINES.get(machine, ())
        emulated = any(Path(f"/proc/sys/fs/binfmt_misc/qemu-{name}").exists() for name in names)
        if names and platform.machine().lower() not in names and not emulated:
            return f"it is built for {names[0]}; this machine is {platform.machine()}"
        return None
    mach_o = head[:4] in {b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"} and platform.system() == "Darwin"
    return None if head.startswith(b"#!") or mach_o else "it is no program, and its first line does not begin with #!"


def _unsupported(function: LambdaFunction, reason: str) -> UnsupportedRuntimeError:
    what = function.runtime or "an image"
    return UnsupportedRuntimeError(what, _BACKEND, reason, _CONTAINERS)


def _invalid_entrypoint(function: LambdaFunction, message: str) -> InitFailedError:
    """As Lambda words it: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html."""
    payload = json.dumps({"errorType": "Runtime.InvalidEntrypoint", "errorMessage": f"Error: {message}"}).encode()
    return InitFailedError(function.function_name, "Runtime.InvalidEntrypoint", payload, reason=message)
