"""An image of one static program that listens on port 8080 until it is asked to end: AWS's emulator (RIE)."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from typing import Any

from tests.engines.base_image import make_archive

__all__ = ["TINY_PORT", "import_tiny_image"]

TINY_PORT = 8080
_PROGRAM = "usr/local/bin/aws-lambda-rie"
_NAME = "tiny"


def import_tiny_image(client: Any) -> str:
    """Bring it to an engine, asked through docker-py's low-level client; returns its name. Blocks."""
    client.import_image_from_data(
        _archive(), repository=_NAME, tag="latest", changes=[f'ENTRYPOINT ["/{_PROGRAM}", "/nothing"]']
    )
    return f"{_NAME}:latest"


@cache
def _archive() -> bytes:
    """The program out of a base image's archive."""
    made = io.BytesIO()
    with tarfile.open(make_archive("provided.al2023")) as whole, tarfile.open(fileobj=made, mode="w") as tiny:
        entry = whole.getmember(f"./{_PROGRAM}")
        tiny.addfile(entry, whole.extractfile(entry))
    return made.getvalue()
