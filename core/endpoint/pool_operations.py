"""The pool by hand, for scripts: what the window's buttons do, under `/_stoker/`.

Wherever a function is named, a name, a partial ARN, an ARN and NAME:QUALIFIER are taken. What ends or lists instances
takes a bare name for the function with all its versions; `launch` takes it for $LATEST, as Invoke does. The shapes
are described in `core.endpoint.facts`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.endpoint.errors import ApiError, as_api_error
from core.endpoint.facts import function_facts, instance_facts, named, stale_facts
from core.endpoint.routes import Route
from core.endpoint.selection import Selection, select, select_by
from core.errors import LambdaRuntimeError
from core.instances import InstanceState

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.instances import InstanceSnapshot

__all__ = ["ROUTES", "flag"]

_MOST_LAUNCHES = 1_000
_LONGEST_TTL = 31_536_000.0
_YES = frozenset({"", "1", "true", "yes"})
_NO = frozenset({"0", "false", "no"})


def flag(call: Call, name: str) -> bool:
    """A switch of the query string; its mere presence switches it on. Raises ApiError."""
    text = call.query(name)
    if text is None or text.lower() in _NO:
        return False
    if text.lower() in _YES:
        return True
    raise ApiError(400, "ValidationException", f"{name} must be true or false")


def _seconds(call: Call, name: str) -> float | None:
    text = call.query(name)
    if text is None:
        return None
    try:
        found = float(text[:40])
    except ValueError:
        found = math.nan
    if not 0 <= found <= _LONGEST_TTL:
        raise ApiError(400, "ValidationException", f"{name} must be a number of seconds, 0 to {_LONGEST_TTL:,.0f}")
    return found


def _filter(call: Call) -> Selection | None:
    """The function that the query string names, if any. Raises InvalidRequestError, FunctionNotFoundError."""
    text = call.query("function")
    if text is None:
        return None
    found = select_by(call.runtime, text)
    call.function_name = str(found)
    return found


async def _instances(call: Call) -> None:
    only = _filter(call)
    found = [each for each in call.runtime.instances() if only is None or each.function_name in only]
    if only is not None and not found:
        only.keys(call.runtime)  # an unknown function is not one without instances
    call.reply({"instances": [instance_facts(each) for each in found]})


async def _instance(call: Call) -> None:
    call.reply(instance_facts(call.runtime.instance(call.parameters["InstanceId"])))


async def _functions(call: Call) -> None:
    call.reply({"functions": function_facts(call.runtime)})


async def _launch(call: Call) -> None:
    """Answers once every instance is up or has failed: 200 where all are up, 207 where some are.

    Where none is, the answer is the first one's error, with all of them in `failed`.
    """
    key = call.runtime.registry.resolve(call.target())
    call.runtime.function(key)
    count = call.number("count", 1, 1, _MOST_LAUNCHES)
    ends = await asyncio.gather(*(call.runtime.launch(key, 1) for _ in range(count)), return_exceptions=True)
    up: list[InstanceSnapshot] = []
    failed: list[tuple[ApiError, LambdaRuntimeError]] = []
    for end in ends:
        if isinstance(end, list):
            up.extend(end)
        elif isinstance(end, LambdaRuntimeError) and (known := as_api_error(end)) is not None:
            failed.append((known, end))
        elif isinstance(end, BaseException):
            raise end
    told = [{"code": known.code, "type": type(error).__name__, "message": known.message} for known, error in failed]
    if failed and not up:
        first = failed[0][0]
        fields = {**first.fields, "instances": [], "failed": told}
        raise ApiError(first.status, first.code, first.message, fields=fields, headers=first.headers)
    document = {**named(key), "instances": [instance_facts(each) for each in up], "failed": told}
    call.reply(document, 207 if failed else 200)


async def _evict(call: Call) -> None:
    selection = select(call.runtime, call.target())
    keys, force = selection.keys(call.runtime), flag(call, "force")
    before = [each.id for each in call.runtime.instances() if each.function_name in keys]
    await asyncio.gather(*(call.runtime.evict(key, force) for key in keys))
    call.reply(_ended(call, before))


async def _terminate(call: Call) -> None:
    instance_id = call.parameters["InstanceId"]
    call.function_name = call.runtime.instance(instance_id).function_name
    await call.runtime.terminate(instance_id, flag(call, "force"))
    call.reply(_ended(call, [instance_id]))


async def _stop_all(call: Call) -> None:
    before = [each.id for each in call.runtime.instances()]
    await call.runtime.stop_all(flag(call, "force"))
    call.reply(_ended(call, before))


def _ended(call: Call, ids: Sequence[str]) -> dict[str, Any]:
    """What became of instances that were to end: those that serve an invocation end after it."""
    states = {each.id: each.state for each in call.runtime.instances()}
    return {
        "terminated": [each for each in ids if states.get(each) is not InstanceState.DRAINING],
        "draining": [each for each in ids if states.get(each) is InstanceState.DRAINING],
    }


async def _reap_idle(call: Call) -> None:
    ttl, only, runtime = _seconds(call, "ttl"), _filter(call), call.runtime
    names: list[str | None] = [None] if only is None else [*only.keys(runtime)]
    found = await asyncio.gather(*(runtime.reap_idle(ttl, name) for name in names))
    call.reply({"instances": [instance_facts(each) for reaped in found for each in reaped]})


async def _reap_stale(call: Call) -> None:
    """`only` names candidates by id, separated by commas: exactly those go, unless their owner lives."""
    dry_run, only = flag(call, "dry_run"), call.query("only")
    ids = None if only is None else [each for each in only.split(",") if each]
    candidates = await call.runtime.reap_stale(dry_run, ids)
    call.reply({"dry_run": dry_run, "candidates": stale_facts(candidates)})


ROUTES: Sequence[Route] = (
    Route("GET", "/_stoker/instances", "ListInstances", _instances),
    Route("GET", "/_stoker/instances/{InstanceId}", "GetInstance", _instance),
    Route("DELETE", "/_stoker/instances/{InstanceId}", "TerminateInstance", _terminate),
    Route("GET", "/_stoker/functions", "ListPools", _functions),
    Route("POST", "/_stoker/functions/{FunctionName}/launch", "LaunchInstances", _launch),
    Route("POST", "/_stoker/functions/{FunctionName}/evict", "EvictInstances", _evict),
    Route("POST", "/_stoker/reap-idle", "ReapIdle", _reap_idle),
    Route("POST", "/_stoker/reap-stale", "ReapStale", _reap_stale),
    Route("POST", "/_stoker/stop-all", "StopAll", _stop_all),
)
