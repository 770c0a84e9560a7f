"""Functions with the archives they run from, in the store and in the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.archives import check_unzipped_size, deploy_id
from core.errors import FunctionNotFoundError, LambdaRuntimeError, NoCodeZipError, ZipExtractionFailedError
from core.functions import LambdaFunction
from core.names import LATEST, key_of

if TYPE_CHECKING:
    from pathlib import Path

    from core.archives import Archive, ArchiveStore
    from core.journal import Journal, StoredFunction

__all__ = ["Catalogue", "Deploy"]


@dataclass(frozen=True, slots=True)
class Deploy:
    """A function and its archives. `missing` says why it has no code to run, if it has none.

    `modified` is the wall clock's seconds of its last change.
    """

    function: LambdaFunction
    deploy_id: str
    code: Archive | None
    layers: Sequence[Archive]
    missing: LambdaRuntimeError | None = None
    modified: float = 0.0


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

    def versions(self, name: str) -> list[Deploy]:
        """The deploys of a function's published versions, by number. None for an unknown function."""
        found = [d for d in self._by_name.values() if d.function.name == name and d.function.version != LATEST]
        return sorted(found, key=lambda deploy: int(deploy.function.version))

    async def build(
        self, function: LambdaFunction, zipped: bytes | None = None, before: Deploy | None = None
    ) -> Deploy:
        """Take the function's code and layers into the store.

        `zipped` is its code where that is not at `function.code`; the definition then names the store's copy.
        What of code and layers has the same place as in `before` is taken over as it was then, and not read again.
        Raises NoCodeZipError, ZipExtractionFailedError, InvalidFunctionError.
        """
        kept = _archives_by_place(before)
        code: Archive | None = None
        if zipped is not None:
            code = await self._archives.add(zipped)
            function = function.replace(code=code.path)
        elif function.package_type == "Zip":
            if function.code is None:
                raise NoCodeZipError(function.function_name, "it has no code: give a zip or a folder")
            try:
                code = kept.get(function.code) or await self._archives.add(function.code)
            except ZipExtractionFailedError as error:
                if function.code.exists():
                    raise
                raise NoCodeZipError(function.function_name, f"its code {function.code} does not exist") from error
        layers = [kept.get(each.content) or await self._archives.add(each.content) for each in function.layers]
        check_unzipped_size(function, code, layers)
        return Deploy(function, deploy_id(function, code, layers), code, layers)

    def freeze(self, name: str, version: int, description: str | None) -> Deploy:
        """The current deploy of a function as a version that no edit of its code reaches any more.

        Raises FunctionNotFoundError, and NoCodeZipError where its archives have gone.
        """
        latest = self.get(name)
        if latest.missing is not None:
            raise latest.missing
        before = latest.function
        function = before.replace(
            function_name=key_of(name, str(version)),
            description=before.description if description is None else description,
            code=latest.code.path if latest.code else None,
            layers=[replace(layer, content=a.path) for layer, a in zip(before.layers, latest.layers, strict=True)],
        )
        return replace(latest, function=function, deploy_id=deploy_id(function, latest.code, latest.layers))

    async def keep_archive(self, zipped: bytes) -> Archive:
        """Take a layer's zip into the store. Raises ZipExtractionFailedError."""
        return await self._archives.add(zipped)

    async def archive(self, digest: str) -> Archive:
        """An archive of the store. Raises KeyError, ZipExtractionFailedError."""
        return await self._archives.get(digest)

    async def put(self, deploy: Deploy) -> Deploy | None:
        """Make it the current one, durably; returns the one before."""
        name = deploy.function.function_name
        modified = await self._journal.put_function(
            name,
            deploy.function.to_json(),
            deploy.code.digest if deploy.code else None,
            [layer.digest for layer in deploy.layers],
        )
        before = self._by_name.get(name)
        self._by_name[name] = replace(deploy, modified=modified)
        return before

    async def remove(self, names: Collection[str], resources: Sequence[tuple[str, str, str]] = ()) -> None:
        """Forget functions and the resources that hang on them, durably. Raises FunctionNotFoundError."""
        for name in names:
            self.get(name)
        await self._journal.remove_functions(list(names), resources)
        for name in names:
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
        return Deploy(function, deploy_id(function, code, layers), code, layers, missing, stored.updated_wall)

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

    async def collect(self, kept: Collection[str] = ()) -> int:
        """Remove archives that no function uses and that are not in `kept`; returns the bytes that were freed."""
        used = {
            archive.digest
            for deploy in self._by_name.values()
            for archive in (deploy.code, *deploy.layers)
            if archive is not None
        }
        return await self._archives.collect(used | self._unreadable | set(kept))


def _archives_by_place(deploy: Deploy | None) -> dict[Path, Archive]:
    """Which archives a deploy has of which zips and folders."""
    if deploy is None or deploy.missing is not None:
        return {}
    found = {layer.content: archive for layer, archive in zip(deploy.function.layers, deploy.layers, strict=True)}
    if deploy.function.code is not None and deploy.code is not None:
        found[deploy.function.code] = deploy.code
    return found
