"""Functions with the archives they run from, in the store and in the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.archives import check_unzipped_size, deploy_id
from core.errors import FunctionNotFoundError, LambdaRuntimeError, NoCodeZipError, ZipExtractionFailedError
from core.functions import LambdaFunction

if TYPE_CHECKING:
    from core.archives import Archive, ArchiveStore
    from core.journal import Journal, StoredFunction

__all__ = ["Catalogue", "Deploy"]


@dataclass(frozen=True, slots=True)
class Deploy:
    """A function and its archives. `missing` says why it has no code to run, if it has none."""

    function: LambdaFunction
    deploy_id: str
    code: Archive | None
    layers: Sequence[Archive]
    missing: LambdaRuntimeError | None = None


class Catalogue:
    """The current deploy of every function, by name."""

    def __init__(self, archives: ArchiveStore, journal: Journal) -> None:
        self._archives = archives
        self._journal = journal
        self._by_name: dict[str, Deploy] = {}
        self._unreadable: set[str] = set()

    def functions(self) -> list[LambdaFunction]:
        """All functions, by name."""
        return [self._by_name[name].function for name in sorted(self._by_name)]

    def find(self, name: str) -> Deploy | None:
        """The function's deploy, or None."""
        return self._by_name.get(name)

    def get(self, name: str) -> Deploy:
        """Raises FunctionNotFoundError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise FunctionNotFoundError(name) from None

    def has_deploy(self, deploy_id: str) -> bool:
        """Whether it is the current deploy of a function."""
        return any(deploy.deploy_id == deploy_id for deploy in self._by_name.values())

    async def build(self, function: LambdaFunction) -> Deploy:
        """Take the function's code and layers into the store.

        Raises NoCodeZipError, ZipExtractionFailedError, InvalidFunctionError.
        """
        code: Archive | None = None
        if function.package_type == "Zip":
            if function.code is None:
                raise NoCodeZipError(function.function_name, "it has no code: give a zip or a folder")
            try:
                code = await self._archives.add(function.code)
            except ZipExtractionFailedError as error:
                if function.code.exists():
                    raise
                raise NoCodeZipError(function.function_name, f"its code {function.code} does not exist") from error
        layers = [await self._archives.add(layer.content) for layer in function.layers]
        check_unzipped_size(function, code, layers)
        return Deploy(function, deploy_id(function, code, layers), code, layers)

    async def put(self, deploy: Deploy) -> Deploy | None:
        """Make it the current one, durably; returns the one before."""
        name = deploy.function.function_name
        await self._journal.put_function(
            name,
            deploy.function.to_json(),
            deploy.code.digest if deploy.code else None,
            [layer.digest for layer in deploy.layers],
        )
        before = self._by_name.get(name)
        self._by_name[name] = deploy
        return before

    async def remove(self, name: str) -> None:
        """Forget a function, durably. Raises FunctionNotFoundError."""
        self.get(name)
        await self._journal.remove_function(name)
        del self._by_name[name]

    async def restore(self, unreadable: Callable[[str, LambdaRuntimeError], None]) -> list[Deploy]:
        """Read the functions as they were when the home was last open.

        `unreadable` is told of each whose definition cannot be read. One whose archives have vanished
        is there, and says so when it is launched.
        """
        for stored in await self._journal.functions():
            try:
                function = LambdaFunction.from_json(stored.definition)
            except LambdaRuntimeError as error:
                # a Stoker that can read it must find its archives still there
                self._unreadable.update(filter(None, (stored.code_digest, *stored.layer_digests)))
                unreadable(stored.name, error)
                continue
            self._by_name[stored.name] = await self._find_archives(function, stored)
        return list(self._by_name.values())

    async def _find_archives(self, function: LambdaFunction, stored: StoredFunction) -> Deploy:
        code: Archive | None = None
        layers: list[Archive] = []
        missing: LambdaRuntimeError | None = None
        try:
            code = await self._archives.get(stored.code_digest) if stored.code_digest else None
            layers = [await self._archives.get(digest) for digest in stored.layer_digests]
        except (KeyError, LambdaRuntimeError):
            missing = NoCodeZipError(stored.name, "its archives are no longer in the store")
        return Deploy(function, deploy_id(function, code, layers), code, layers, missing)

    async def mend(self, deploy: Deploy) -> None:
        """Unpack again what of a deploy's archives has vanished from the disk. Raises NoCodeZipError."""
        name = deploy.function.function_name
        for archive in (deploy.code, *deploy.layers):
            if archive is None or archive.directory.is_dir():
                continue
            try:
                await self._archives.get(archive.digest)
            except (KeyError, OSError, LambdaRuntimeError) as error:
                raise NoCodeZipError(name, "its archives have vanished from the store; add it again") from error

    async def collect(self) -> int:
        """Remove archives that no function uses; returns the bytes that were freed."""
        used = {
            archive.digest
            for deploy in self._by_name.values()
            for archive in (deploy.code, *deploy.layers)
            if archive is not None
        }
        return await self._archives.collect(used | self._unreadable)
