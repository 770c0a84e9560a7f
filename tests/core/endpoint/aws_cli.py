"""The AWS CLI, as it comes from the package index, against one endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["AwsCli"]

_AWS = Path(sys.executable).with_name("aws")


class AwsCli:
    """`aws lambda ...`, run in a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self.folder = folder
        folder.mkdir()

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_LAMBDA": self._url,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }
        process = await asyncio.create_subprocess_exec(
            str(_AWS), "lambda", *words, "--output", "json", cwd=self.folder, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def json(self, *words: str) -> Any:
        """What it wrote, which must have gone well."""
        code, out, err = await self.run(*words)
        assert code == 0, err
        return json.loads(out) if out.strip() else None
