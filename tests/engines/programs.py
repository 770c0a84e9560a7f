"""Programs that tests start and that must not outlive them, with whatever they started themselves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["DaemonError", "Program", "answers", "socket_in", "sweep"]

_LOOK_AGAIN = 0.05  # seconds between two looks at a foreign program: nothing tells that it listens now
_LONGEST_SOCKET = 100
_OF_ENGINES = ("dockerd", "containerd", "containerd-shim", "docker-proxy", "podman", "conmon", "runc", "crun")


class DaemonError(Exception):
    """A program did not start, or did not end; the message says which and what it wrote last."""


class Program:
    """One program in a session of its own, so that a Ctrl-C in the terminal does not reach it."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self._log = log
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    # Podman's monitor leaves a file there for each container that ran out of memory
                    cwd=log.parent,
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise DaemonError(f"there is no {command[0]}") from None

    @property
    def pid(self) -> int:
        """Its process, running or not."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_until(self, answers: Callable[[], bool], seconds: float) -> None:
        """Until it answers. Raises DaemonError where it ends before, or takes longer."""
        end = time.monotonic() + seconds
        while not answers():
            if not self.running:
                raise DaemonError(f"{self.name} ended with {self._process.returncode}: {self._last_lines()}")
            if time.monotonic() > end:
                raise DaemonError(f"{self.name} did not answer within {seconds:g} s: {self._last_lines()}")
            time.sleep(_LOOK_AGAIN)

    def terminate(self, seconds: float) -> None:
        """Ask it to end and wait for it; then it is killed."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As `kill -9` does it."""
        self._process.kill()
        self._process.wait()

    def _last_lines(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])


def answers(url: str) -> bool:
    """Whether an engine answers there."""
    from docker import APIClient
    from docker.errors import DockerException

    try:
        client = APIClient(base_url=url, version="1.41", timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


def socket_in(directory: Path, name: str) -> Path:
    """A socket's path, if the system can take it. Raises DaemonError."""
    path = directory / name
    if len(str(path)) > _LONGEST_SOCKET:
        raise DaemonError(f"{path} is too long for a socket's path")
    return path


def sweep(directory: Path) -> None:
    """End what is left of the engines that work in a folder, and take away what they have mounted there.

    Raises DaemonError if a process cannot be ended.
    """
    processes = _engines_of(directory)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(processes, timeout=20)
    if alive:
        raise DaemonError(f"still there after SIGKILL: {', '.join(str(each) for each in alive)}")
    for mount in reversed(_mounts_under(directory)):
        # detached: a process that is about to end may still look into it
        subprocess.run(["umount", "--lazy", str(mount)], capture_output=True, check=False)


def _engines_of(directory: Path) -> list[psutil.Process]:
    """The engines' own processes that name the folder, and all that run below them: those in containers."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = Path(process.exe()).name.startswith(_OF_ENGINES)
            if named and any(_is_under(word, directory) for word in (*process.cmdline(), process.cwd())):
                for each in (process, *process.children(recursive=True)):
                    found[each.pid] = each
    return list(found.values())


def _is_under(word: str, directory: Path) -> bool:
    path = Path(word.partition("unix://")[2] or word)
    return path == directory or directory in path.parents


def _mounts_under(directory: Path) -> list[Path]:
    """In the order in which they were mounted."""
    with Path("/proc/self/mounts").open() as mounts:
        places = [Path(line.split(" ")[1].encode().decode("unicode_escape")) for line in mounts]
    return [place for place in places if directory in place.parents]
