"""A handler for aiohttp that answers scrapes without holding up the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from .._negotiation import coding_accepted, gzip_accepted
from .._offload import Offloader
from ..exposition import _bake_output
from ..registry import REGISTRY, Collector

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler


def make_aiohttp_handler(registry: Collector = REGISTRY, disable_compression: bool = False) -> Handler:
    """Makes a handler for aiohttp that answers scrapes.

    Collecting and writing happen in the loop's default executor; scrapes that ask for the same at the same time share
    one answer. aiohttp compresses it.

    Args:
        registry: Where to collect.
        disable_compression: Whether to leave bodies as they are.

    Returns:
        The handler.
    """
    offloader = Offloader(registry)

    async def prometheus_handler(request: web.Request) -> web.Response:
        params = {name: request.query.getall(name) for name in request.query}
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
        status, headers, output = await offloader.run(
            (accept, request.query_string),
            lambda: _bake_output(registry, accept, "", params, disable_compression=True),
        )
        response = web.Response(status=int(status.split(" ")[0]), headers=headers, body=output)
        if not disable_compression:
            accept_encoding = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, []))
            # Left to choose, aiohttp overlooks q-values.
            if gzip_accepted(accept_encoding):
                response.enable_compression(web.ContentCoding.gzip)
            elif coding_accepted(accept_encoding, {"deflate"}):
                response.enable_compression(web.ContentCoding.deflate)
        return response

    return prometheus_handler
