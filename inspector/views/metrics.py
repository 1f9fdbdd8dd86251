"""The figures of all runs as Prometheus reads them. That is data, no page: the rules for data hold, those of the token too."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from flowkit.client.metrics import CONTENT_TYPE

from ..site import Site

__all__ = ["metrics"]


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    site: Site = request.app.state.site
    try:
        body = await run_in_threadpool(site.metrics)
    except ModuleNotFoundError as error:
        return PlainTextResponse(f"{error}\n", 501)
    return Response(body, headers={"Content-Type": CONTENT_TYPE})
