"""Versions of a function: published, and listed.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html and
https://docs.aws.amazon.com/lambda/latest/api/API_ListVersionsByFunction.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.endpoint.configuration import code_sha256, configuration, revision
from core.endpoint.errors import ApiError
from core.endpoint.function_shapes import PublishVersion
from core.endpoint.functions import changeable, check_revision
from core.endpoint.paging import page
from core.endpoint.routes import Route
from core.names import LATEST

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.functions import LambdaFunction

__all__ = ["ROUTES"]

_VERSIONS = "/2015-03-31/functions/{FunctionName}/versions"


async def publish_version(call: Call) -> None:
    """PublishVersion. Where nothing has changed since the last one, that one is answered."""
    name = changeable(call)
    wanted = await call.json(PublishVersion)
    runtime = call.runtime

    def check() -> None:
        latest = runtime.deploy(name)
        check_revision(wanted.revision_id, revision(runtime, latest))
        found = code_sha256(latest)
        if wanted.code_sha256 and wanted.code_sha256 != found:
            raise ApiError.invalid(
                f"CodeSHA256 ({wanted.code_sha256}) is different from current CodeSHA256 in $LATEST ({found}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )

    function = await runtime.publish_version(name, wanted.description, check=check)
    call.reply(configuration(runtime, runtime.deploy(function.function_name), function.version), 201)


async def list_versions(call: Call) -> None:
    """ListVersionsByFunction: $LATEST first, then by number."""
    runtime = call.runtime
    name = call.target().name
    found = [runtime.function(name), *runtime.versions(name)]
    shown, marker = page(call, found, _place, most=50)
    documents = [
        configuration(runtime, runtime.deploy(each.function_name), each.version, listed=True) for each in shown
    ]
    call.reply({"Versions": documents} | ({"NextMarker": marker} if marker else {}))


ROUTES: Sequence[Route] = (
    Route("POST", _VERSIONS, "PublishVersion", publish_version),
    Route("GET", _VERSIONS, "ListVersionsByFunction", list_versions),
)


def _place(function: LambdaFunction) -> str:
    return "" if function.version == LATEST else f"{int(function.version):018}"
