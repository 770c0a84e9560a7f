"""The bytes of one response: the beginning in memory, all of it in a temporary file once it is longer."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

__all__ = ["HEAD_LIMIT", "Spool"]

HEAD_LIMIT = 8 * 1024 * 1024
# what may wait for the disk before the reader of the stream is held back
_PENDING_LIMIT = 4 * 1024 * 1024
_COPY = 1024 * 1024


class Spool:
    """Takes bytes without blocking. A short response never touches the disk.

    The file has no name (the system frees it when Stoker ends, however it ends) and is written by
    one thread of its own. `lost` says why bytes beyond the head could not be kept, else it is None.
    """

    def __init__(self, head_limit: int = HEAD_LIMIT, directory: Path | None = None) -> None:
        self.head = bytearray()
        self.size = 0
        self.lost: str | None = None
        self._limit = head_limit
        self._directory = directory
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._done = 0
        self._writing: asyncio.Future[str | None] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._file: IO[bytes] | None = None
        self._closed = False

    @property
    def kept(self) -> int:
        """How many bytes, from the first, can be saved."""
        return self.size if self.lost is None else len(self.head)

    @property
    def crowded(self) -> bool:
        """Whether the writer of the file is behind; then wait for `room`."""
        return self._pending_size > _PENDING_LIMIT

    def add(self, data: bytes) -> None:
        """Keep `data`. Call on the loop."""
        if self._closed:
            return
        free = self._limit - self.size
        self.size += len(data)
        if free >= len(data):
            self.head += data
            return
        if free > 0:
            self.head += data[:free]
            data = data[free:]
        if self.lost is not None:
            return
        self._pending.append(data)
        self._pending_size += len(data)
        if self._writing is None:
            self._write()

    async def room(self) -> None:
        """Wait until the file has caught up."""
        while self.crowded and self._writing is not None:
            await asyncio.wait([self._writing])

    async def save(self, path: Path) -> int:
        """Copy what has arrived so far to `path`, and return how many bytes that were.

        Raises OSError. A file that was there is replaced only by a whole copy.
        """
        size = self.size
        while self._writing is not None and self._done < size:
            await asyncio.wait([self._writing])
        size = min(size, self.kept)
        return await asyncio.get_running_loop().run_in_executor(self._thread(), self._copy, path, size)

    def close(self) -> None:
        """Forget everything. What a running copy needs stays until that ends."""
        self._closed = True
        self._pending.clear()
        self._pending_size = 0
        if self._executor is not None:
            self._executor.submit(self._close_file)
            self._executor.shutdown(wait=False)
            self._executor = None

    def _thread(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="stoker-response")
        return self._executor

    def _write(self) -> None:
        batch, self._pending = self._pending, []
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread(), self._append, batch)
        self._writing.add_done_callback(lambda done: self._written(done, sum(map(len, batch))))

    def _written(self, done: asyncio.Future[str | None], size: int) -> None:
        self._writing = None
        self._pending_size = max(0, self._pending_size - size)
        self._done = max(self._done, self._limit) + size
        if self._closed or done.cancelled():
            return
        error = done.exception()
        self.lost = str(error) if error is not None else done.result()
        if self.lost is not None:
            self._pending.clear()
            self._pending_size = 0
        elif self._pending:
            self._write()

    # --- on the spool's own thread

    def _append(self, batch: list[bytes]) -> str | None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="stoker-response-", buffering=0, dir=self._directory)  # noqa: SIM115
                _write_all(self._file, bytes(self.head))
            for data in batch:
                _write_all(self._file, data)
        except OSError as error:
            self._close_file()
            return error.strerror or str(error)
        return None

    def _copy(self, path: Path, size: int) -> int:
        part = path.with_name(f".{path.name[:40]}-{secrets.token_hex(4)}")
        try:
            with part.open("xb") as target:
                if self._file is None:
                    target.write(bytes(self.head[:size]))
                else:
                    position = 0
                    while position < size:
                        data = os.pread(self._file.fileno(), min(_COPY, size - position), position)
                        if not data:
                            break
                        target.write(data)
                        position += len(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return size

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
