"""One home: its lock, settings, owner, journal and archives, opened together and closed in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from core.archives import ArchiveStore
from core.events import EventBus, Trouble
from core.journal import Journal
from core.owners import HomeLock, Owner, mark_owner_dead
from core.settings import Settings, load_settings

__all__ = ["Home", "home_path", "open_home"]


@dataclass(frozen=True, slots=True)
class Home:
    """What an open home holds. `events` is the bus on which the journal's troubles are told."""

    path: Path
    settings: Settings
    owner: Owner
    journal: Journal
    archives: ArchiveStore
    events: EventBus

    @property
    def owner_id(self) -> str:
        """The id of the Stoker that holds this home."""
        return self.owner.id


def home_path(chosen: Path | str | None) -> Path:
    """The folder that is meant, absolute; the user's data directory where none was chosen, or an empty one."""
    path = Path(chosen).expanduser() if chosen else platformdirs.user_data_path("stoker")
    return path.absolute()


@asynccontextmanager
async def open_home(path: Path, settings: Settings | None, overrides: Mapping[str, object]) -> AsyncIterator[Home]:
    """Take the home for this Stoker alone, and let it go at the end.

    `settings` replaces those of the home's file; `overrides` are fields of `Settings`.
    Raises HomeInUseError, HomeUnusableError, JournalTooNewError, InvalidSettingError.
    """
    events = EventBus()
    async with AsyncExitStack() as stack:
        lock = HomeLock(path)
        lock.acquire()
        stack.callback(lock.release)
        settings = (settings or load_settings(path / "settings.json")).with_overrides(**overrides)
        owner = Owner.acquire(path)
        stack.callback(owner.release)

        def trouble(message: str) -> None:
            events.publish(Trouble(about="journal", message=message))

        journal = await Journal.open(
            path / "journal.sqlite",
            history_limit=settings.history_limit,
            history_days=settings.history_days,
            on_trouble=trouble,
        )
        stack.push_async_callback(journal.close)
        await journal.put_owner(owner.id)
        stack.push_async_callback(_end, owner, journal)
        for earlier in await journal.owners():
            # the home's lock is ours: whoever owned anything in it before has ended
            if earlier.id != owner.id and earlier.ended_wall is None:
                mark_owner_dead(earlier.id)
        executor = ThreadPoolExecutor(2, thread_name_prefix="stoker-archives")
        stack.callback(executor.shutdown)
        yield Home(path, settings, owner, journal, ArchiveStore(path / "archives", executor), events)


async def _end(owner: Owner, journal: Journal) -> None:
    if not owner.leaves:
        await journal.end_owner(owner.id)
