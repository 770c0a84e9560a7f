"""Stoker's own failures, as types that carry the facts; the text is made from them in one place.

What a *function* does wrong (a handler error, an exit, a timeout) is never one of these: it is an
`InvocationResult` with `function_error`, as on Lambda.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BackendUnavailableError",
    "ConflictError",
    "ContainerStartFailedError",
    "EndpointUnusableError",
    "FunctionNotFoundError",
    "HomeInUseError",
    "HomeUnusableError",
    "ImagePullError",
    "InitFailedError",
    "InstanceNotFoundError",
    "InvalidFunctionError",
    "InvalidRequestError",
    "InvalidSettingError",
    "InvocationFailedError",
    "JournalTooNewError",
    "LambdaRuntimeError",
    "MalformedNameError",
    "NoCodeZipError",
    "RequestTooLargeError",
    "RuntimeClosedError",
    "TooManyRequestsError",
    "UnsupportedRuntimeError",
    "ZipExtractionFailedError",
]


class LambdaRuntimeError(Exception):
    """Base of every failure that is Stoker's and not the function's."""


class InvalidFunctionError(LambdaRuntimeError, ValueError):
    """A function's definition breaks one of Lambda's rules; names the field, the value and the rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field} = {shown}: {rule}")
        self.field = field
        self.value = value
        self.rule = rule


class InvalidSettingError(LambdaRuntimeError, ValueError):
    """A setting has a value that Stoker cannot work with."""

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"setting {name} = {value!r}: {rule}")
        self.name = name
        self.value = value
        self.rule = rule


class InvalidRequestError(LambdaRuntimeError, ValueError):
    """An invocation was asked for in a way that cannot be carried out; `what` names the parameter."""

    def __init__(self, what: str, value: object, rule: str) -> None:
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{what} = {shown}: {rule}")
        self.what = what
        self.value = value
        self.rule = rule


class MalformedNameError(InvalidRequestError):
    """What should name a function or a version is not written as the API writes it.

    `constraint` is the rule in AWS's words.
    """

    def __init__(self, what: str, value: str, rule: str, constraint: str) -> None:
        super().__init__(what, value, rule)
        self.constraint = constraint


class FunctionNotFoundError(LambdaRuntimeError, LookupError):
    """No function of this name is known."""

    def __init__(self, function_name: str) -> None:
        super().__init__(f"there is no function named {function_name!r}")
        self.function_name = function_name


class InstanceNotFoundError(LambdaRuntimeError, LookupError):
    """No instance of this id is in the pool (it may have gone already)."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"there is no instance {instance_id!r} in the pool")
        self.instance_id = instance_id


class NoCodeZipError(LambdaRuntimeError):
    """A Zip function has no code to run, or its archive is gone."""

    def __init__(self, function_name: str, reason: str) -> None:
        super().__init__(f"{function_name}: {reason}")
        self.function_name = function_name
        self.reason = reason


class UnsupportedRuntimeError(LambdaRuntimeError):
    """The chosen backend cannot run this runtime; `could_run` names the backends that could."""

    def __init__(self, runtime: str, backend: str, reason: str, could_run: Sequence[str] = ()) -> None:
        hint = f"; backends that can run it: {', '.join(could_run)}" if could_run else ""
        super().__init__(f"the {backend} backend cannot run {runtime}: {reason}{hint}")
        self.runtime = runtime
        self.backend = backend
        self.reason = reason
        self.could_run = tuple(could_run)


class BackendUnavailableError(LambdaRuntimeError):
    """The backend a function asks for is unknown, or its engine does not answer."""

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"backend {backend}: {reason}")
        self.backend = backend
        self.reason = reason


class ZipExtractionFailedError(LambdaRuntimeError):
    """An archive was refused or could not be unpacked; nothing of it is left outside the store."""

    def __init__(self, archive: str, reason: str, entry: str | None = None) -> None:
        where = f"{archive}, entry {entry!r}" if entry is not None else archive
        super().__init__(f"{where}: {reason}")
        self.archive = archive
        self.reason = reason
        self.entry = entry


class ContainerStartFailedError(LambdaRuntimeError):
    """An instance could not be started. `log_tail` holds the last lines it wrote."""

    def __init__(self, function_name: str, reason: str, log_tail: Sequence[str] = ()) -> None:
        super().__init__(f"an instance of {function_name} did not start: {reason}")
        self.function_name = function_name
        self.reason = reason
        self.log_tail = tuple(log_tail)


class InitFailedError(ContainerStartFailedError):
    """The function's own initialisation failed: an init error, an exit, or the init deadline.

    An invocation that waited for it gets this as a result with `function_error`; `payload` is
    Lambda's error JSON. `timed_out` tells the init deadline from the others.
    Source of the rule: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """

    def __init__(
        self,
        function_name: str,
        error_type: str,
        payload: bytes,
        *,
        reason: str,
        log_tail: Sequence[str] = (),
        timed_out: bool = False,
    ) -> None:
        super().__init__(function_name, reason, log_tail)
        self.error_type = error_type
        self.payload = payload
        self.timed_out = timed_out


class ImagePullError(LambdaRuntimeError):
    """An image is not on the engine of a backend, and could not be fetched."""

    def __init__(self, image: str, backend: str, reason: str) -> None:
        super().__init__(f"the image {image} is not on {backend} and could not be pulled: {reason}")
        self.image = image
        self.backend = backend
        self.reason = reason


class InvocationFailedError(LambdaRuntimeError):
    """Stoker could not carry an invocation through; `received` says how many bytes had arrived."""

    def __init__(self, function_name: str, request_id: str, reason: str, received: int = 0) -> None:
        super().__init__(f"invocation {request_id} of {function_name} failed: {reason}")
        self.function_name = function_name
        self.request_id = request_id
        self.reason = reason
        self.received = received


class TooManyRequestsError(LambdaRuntimeError):
    """Lambda's throttle (429 TooManyRequestsException): the queue is full or the wait was too long.

    `reserved` tells that the function's reserved concurrency is used up.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
    """

    def __init__(self, function_name: str, reason: str, waited: float = 0.0, *, reserved: bool = False) -> None:
        super().__init__(f"{function_name}: Rate Exceeded ({reason})")
        self.function_name = function_name
        self.reason = reason
        self.waited = waited
        self.reserved = reserved


class RequestTooLargeError(LambdaRuntimeError):
    """The event is larger than Lambda takes (6 MB, 413 RequestTooLargeException)."""

    def __init__(self, function_name: str, size: int, limit: int) -> None:
        super().__init__(f"{function_name}: the event has {size:,} bytes; the limit is {limit:,}")
        self.function_name = function_name
        self.size = size
        self.limit = limit


class ConflictError(LambdaRuntimeError):
    """What was asked for does not go together with what there is (409 ResourceConflictException)."""


class EndpointUnusableError(LambdaRuntimeError):
    """The local endpoint cannot listen there; `reason` says why and what would help."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the endpoint cannot be opened on {address}: {reason}")
        self.address = address
        self.reason = reason


class RuntimeClosedError(LambdaRuntimeError):
    """The runtime is closing and takes no more work."""


class HomeInUseError(LambdaRuntimeError):
    """Another living Stoker works in this home."""

    def __init__(self, home: str) -> None:
        super().__init__(f"another Stoker is using {home}")
        self.home = home


class HomeUnusableError(LambdaRuntimeError):
    """A home, or a file in it, cannot be read or written; `reason` says why and what would help."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.path = path
        self.reason = reason


class JournalTooNewError(LambdaRuntimeError):
    """The journal was written by a newer Stoker. It is left untouched."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer Stoker (journal version {found}; this one knows {known}). "
            "It was left untouched: start the newer Stoker, or choose another home with --home."
        )
        self.path = path
        self.found = found
        self.known = known
