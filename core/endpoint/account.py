"""The account that the local functions stand in: its limits, and what is used of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.endpoint.routes import Route
from core.limits import MOST_UNZIPPED_BYTES
from core.names import LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call

__all__ = ["ROUTES"]

_TOTAL_CODE = 80_530_636_800  # 75 GB, AWS's own
_ZIPPED = 52_428_800


async def get_settings(call: Call) -> None:
    """GetAccountSettings. `ConcurrentExecutions` is the budget of instances, as that many can run here at once.

    Source of the other limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    runtime, registry = call.runtime, call.runtime.registry
    functions = runtime.functions()
    code = [runtime.deploy(each.function_name).code for each in functions]
    size = sum(archive.size for archive in code if archive is not None)
    size += sum(layer.size for layer in registry.layers if not layer.deleted)
    call.reply(
        {
            "AccountLimit": {
                "TotalCodeSize": _TOTAL_CODE,
                "CodeSizeUnzipped": MOST_UNZIPPED_BYTES,
                "CodeSizeZipped": _ZIPPED,
                "ConcurrentExecutions": runtime.settings.instance_budget,
                "UnreservedConcurrentExecutions": max(0, runtime.settings.instance_budget - registry.spoken_for()),
            },
            "AccountUsage": {
                "TotalCodeSize": size,
                "FunctionCount": sum(each.version == LATEST for each in functions),
            },
        }
    )


ROUTES: Sequence[Route] = (Route("GET", "/2016-08-19/account-settings", "GetAccountSettings", get_settings),)
