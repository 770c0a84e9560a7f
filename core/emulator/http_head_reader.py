"""Reading the heads of a connection's requests: by `http_heads` where they are plain, by h11 otherwise."""

from __future__ import annotations

import h11

from .http_exchange import Limits
from .http_heads import RequestHead, judged, read_request

__all__ = ["BadHeadError", "HeadReader"]

_REMEMBERED = 1024  # bytes of a head up to which it is kept, to know it again


class BadHeadError(Exception):
    """What has come is no request, or has too large a head. `status` tells the peer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HeadReader:
    """One connection's heads, one after the other: `read`, and `renew` when the request has been served.

    `partial` is set while a head has come in part. `plain` is the head of the request under way where
    h11 has not heard of it; otherwise it is in the hands of `parser`, and so is its response.
    """

    __slots__ = ("_got", "_limits", "_seen", "parser", "partial", "plain")

    def __init__(self, limits: Limits) -> None:
        self.plain: bytes | None = None
        self.partial = False
        self._limits = limits
        self._got = 0  # bytes of a head that has not come whole
        self._seen: dict[bool, tuple[bytes, RequestHead]] = {}  # the last head with a body, and without
        self.parser = self._new_parser()

    def _new_parser(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_size)

    def read(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """The head that `data` completes, and what came behind it; None where there is more to come.

        Raises BadHeadError.
        """
        if self.partial:
            return self._read_by_h11(data)
        for head, known in self._seen.values():
            # many a client sends the same again and again
            if data.startswith(head):
                self.plain = head
                return known, data[known.end :]
        plain = read_request(data)
        if plain is None:
            return self._read_by_h11(data)
        if plain.end > self._limits.head_size:
            raise BadHeadError(431, "a head that is too large")
        self.plain = data[: plain.end]
        if plain.end <= _REMEMBERED:
            self._seen[plain.length == 0] = self.plain, plain
        return plain, data[plain.end :]

    def _read_by_h11(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        try:
            self.parser.receive_data(data)
            event = self.parser.next_event()
        except h11.RemoteProtocolError as error:
            raise BadHeadError(error.error_status_hint, str(error)) from error
        if event is h11.NEED_DATA:
            self.partial = True
            self._got += len(data)
            return None
        if not isinstance(event, h11.Request):
            raise BadHeadError(400, "not a request")
        rest = self.parser.trailing_data[0]
        size, self._got = self._got + len(data) - len(rest), 0
        self.partial = False
        if size > self._limits.head_size:
            # h11 minds the size of a head only while it is not whole
            raise BadHeadError(431, "a head that is too large")
        return judged(event), rest

    def tell_h11(self) -> None:
        """From here on the exchange is h11's: what is answered is not plain."""
        assert self.plain is not None, "it has been told"
        self.parser.receive_data(self.plain)
        self.parser.next_event()
        self.plain = None

    def renew(self) -> bool:
        """Get ready for the next request; False where the connection can have none."""
        if self.plain is None:
            if self.parser.our_state is not h11.DONE:
                return False
            self.parser = self._new_parser()
        self.plain = None
        return True
