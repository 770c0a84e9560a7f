"""What the API answers instead of a result: status, code and JSON body, as an SDK reads them.

Source: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html and each operation's own list.
"""

from __future__ import annotations

from core.emulator.http_body import BodyError, BodyTooLargeError
from core.endpoint.constraints import broken, detected
from core.errors import (
    ConflictError,
    ContainerStartFailedError,
    FunctionNotFoundError,
    HomeUnusableError,
    InstanceNotFoundError,
    InvalidFunctionError,
    InvalidRequestError,
    InvocationFailedError,
    LambdaRuntimeError,
    MalformedNameError,
    NoCodeZipError,
    RequestTooLargeError,
    RuntimeClosedError,
    TooManyRequestsError,
    UnsupportedRuntimeError,
    ZipExtractionFailedError,
)
from core.names import function_arn, split_key

__all__ = ["ApiError", "as_api_error"]

_RETRY_AFTER = "1"  # seconds; by then an instance may be free


class ApiError(Exception):
    """An answer that is an error. `fields` are further members of its JSON body; `headers` go with it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: dict[str, object] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields or {}
        self.headers = headers

    @classmethod
    def not_found(cls, message: str) -> ApiError:
        """404 ResourceNotFoundException."""
        return cls(404, "ResourceNotFoundException", message)

    @classmethod
    def conflict(cls, message: str) -> ApiError:
        """409 ResourceConflictException."""
        return cls(409, "ResourceConflictException", message)

    @classmethod
    def invalid(cls, message: str) -> ApiError:
        """400 InvalidParameterValueException."""
        return cls(400, "InvalidParameterValueException", message)

    @property
    def document(self) -> dict[str, object]:
        """The JSON body."""
        kind = "Service" if self.status >= 500 else "User"
        return {"Type": kind, "message": self.message, "Message": self.message, **self.fields}


def as_api_error(error: Exception) -> ApiError | None:
    """The answer to one of Stoker's own failures; None for what is not known."""
    match error:
        case ApiError():
            return error
        case FunctionNotFoundError():
            name, version = split_key(error.function_name)
            arn = function_arn(name, None if version == "$LATEST" else version)
            return ApiError.not_found(f"Function not found: {arn}")
        case InstanceNotFoundError():
            return ApiError.not_found(str(error))
        case ConflictError():
            return ApiError.conflict(str(error))
        case TooManyRequestsError():
            reason = (
                "ReservedFunctionConcurrentInvocationLimitExceeded"
                if error.reserved
                else "ConcurrentInvocationLimitExceeded"
            )
            return ApiError(
                429,
                "TooManyRequestsException",
                # AWS's whole text; that of a full queue here says which one it is
                "Rate Exceeded." if error.reserved else str(error),
                fields={"Reason": reason},
                headers=(("retry-after", _RETRY_AFTER),),
            )
        case RequestTooLargeError():
            return ApiError(413, "RequestTooLargeException", str(error))
        case BodyTooLargeError():
            return ApiError(413, "RequestTooLargeException", str(error))
        case BodyError():
            return ApiError(400, "InvalidRequestContentException", str(error))
        case ZipExtractionFailedError():
            # of an upload; InvalidZipFileException is Invoke's: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
            return ApiError.invalid(f"Could not unzip uploaded file: {error}")
        case NoCodeZipError():
            return ApiError(502, "InvalidZipFileException", str(error))
        case MalformedNameError():
            return ApiError(
                400, "ValidationException", detected([broken(error.value, (error.what,), error.constraint)])
            )
        case InvalidFunctionError() | InvalidRequestError():
            return ApiError.invalid(str(error))
        case UnsupportedRuntimeError():
            return ApiError(502, "InvalidRuntimeException", str(error))
        case ContainerStartFailedError():
            return ApiError(502, "ServiceException", str(error))
        case RuntimeClosedError():
            return ApiError(503, "ServiceUnavailableException", str(error))
        case HomeUnusableError():
            return ApiError(507, "ServiceException", str(error))
        case InvocationFailedError():
            return ApiError(500, "ServiceException", str(error))
        case LambdaRuntimeError():
            return ApiError(500, "ServiceException", str(error))
        case _:
            return None
