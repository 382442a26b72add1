"""The redirect handler of `passthrough_redirect_handler`; loaded with its first use, as it needs `urllib.request`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO

_READING_CODES = frozenset({301, 302, 303, 307})
_WRITING_CODES = frozenset({301, 302, 303})


class _PrometheusRedirectHandler(HTTPRedirectHandler):
    """Follows redirects with the same method, headers and data.

    The handler of the standard library turns a redirected POST into a GET without data and refuses a redirected PUT,
    because nobody has said that repeating a request elsewhere does no harm. Whoever uses this one says so: use it only
    where whoever answers is trusted.
    """

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Returns the request to send instead.

        Raises:
            HTTPError: The method is not one to be redirected with this code.
        """
        # The handlers set `get_method` and not `method`.
        method = getattr(req, "method", None) or req.get_method()
        reads = method in {"GET", "HEAD"} and code in _READING_CODES
        writes = method in {"POST", "PUT"} and code in _WRITING_CODES
        if not (reads or writes):
            raise HTTPError(req.full_url, code, msg, headers, fp)
        return Request(
            newurl.replace(" ", "%20"),
            data=req.data,
            headers=req.headers,  # type: ignore[arg-type,unused-ignore]
            origin_req_host=req.origin_req_host,
            unverifiable=True,
            method=method,
        )
