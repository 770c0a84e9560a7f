"""What one deploy of a function is: its id, and whether its code and layers fit Lambda's limit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import InvalidFunctionError
from core.functions import LambdaFunction
from core.limits import MOST_UNZIPPED_BYTES

if TYPE_CHECKING:
    from core.archives.store import Archive

__all__ = ["check_unzipped_size", "deploy_id"]


def check_unzipped_size(function: LambdaFunction, code: Archive | None, layers: Sequence[Archive]) -> None:
    """Lambda's 250 MB for code and layers together, unzipped. Raises InvalidFunctionError.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    total = sum(each.unpacked_size for each in (code, *layers) if each is not None)
    if total > MOST_UNZIPPED_BYTES:
        raise InvalidFunctionError(
            "code",
            f"{total:,} bytes",
            f"the code of {function.function_name} and its {len(layers)} layers may have at most "
            f"{MOST_UNZIPPED_BYTES:,} bytes (250 MB) unzipped",
        )


def deploy_id(function: LambdaFunction, code: Archive | None, layers: Sequence[Archive]) -> str:
    """Hex digest of code, layers in order and the whole launch configuration.

    What only concerns people or the pool (tags, description, instance counts, idle time, recording)
    is not in it: changing those replaces no instance.
    """
    image = function.image_config
    configuration = {
        "code": code.digest if code is not None else None,
        "layers": [each.digest for each in layers],
        "function_name": function.function_name,
        "package_type": function.package_type,
        "runtime": function.runtime,
        "handler": function.handler,
        "image_uri": function.image_uri,
        "image_config": [image.entry_point, image.command, image.working_directory] if image is not None else None,
        "environment": dict(function.environment),
        "timeout": function.timeout,
        "memory_size": function.memory_size,
        "ephemeral_storage": function.ephemeral_storage,
        "architecture": function.architecture,
        "backend": function.backend,
    }
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
