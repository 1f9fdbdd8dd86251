"""A run written out: a page that says what each form holds, and the exports themselves, streamed to be saved."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flowkit.client.export import exported
from flowkit.client.export_pytest import exported_test, file_stem, no_test
from flowkit.client.veil import HIDDEN
from flowkit.errors import RunConflict

from ..present.runs import command_line
from ..present.values import shown
from ..site import Asked, Page, asked_of
from ..urls import run_url
from .errors import no_run
from .run import Head, head_of

__all__ = ["ExportPage", "download", "export"]

_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson", "py": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPage:
    """What may be had, and where. `no_test` says why there is no test."""

    head: Head
    json_href: str
    ndjson_href: str
    py_href: str
    no_test: str
    fails: bool
    place: str
    file: str
    command: str


def export(asked: Asked) -> Page:
    """GET /runs/{id}/export."""
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    head = head_of(asked, row, "export")
    place = asked.reader.manifest(asked.reader.last_code(row)).places.get(row.workflow, "")
    ended = row.status in ("completed", "failed")
    file = f"test_{file_stem(row.id)}.py"
    words = ["export", id, "--format", "py", "-o", file] if ended else ["export", id]
    model = ExportPage(
        head=head, json_href=run_url(id, "export.json"), ndjson_href=run_url(id, "export.ndjson"),
        py_href=run_url(id, "export.py"), fails=row.status == "failed", place=shown(place), file=file,
        no_test=f"There is none of this run: {why}." if (why := no_test(row.status)) else "",
        command=command_line(asked.site.settings.database, *words),
    )  # fmt: skip
    return Page(
        template="export.html", title=f"export · {head.item.label}", model=model, here="runs", run=id, token=head.token,
        parts={"now": "_run_now.html"},
    )  # fmt: skip


async def download(request: Request) -> Response:
    """GET /runs/{id}/export.json, .ndjson or .py."""
    return await run_in_threadpool(_download, request)


def _download(request: Request) -> Response:
    asked = asked_of(request)
    id, format = asked.text("id"), asked.path.rpartition(".")[2]
    row = asked.reader.run(id)
    if row is None:
        raise HTTPException(404, f"there is no run {shown(id)!r}")
    if format == "py" and not asked.site.settings.expose_errors:
        raise HTTPException(409, f"A test needs the values of the run. {HIDDEN}")
    made = asked.reader.export(row, reveals=asked.query.get("reveal") == "1")
    try:
        chunks = (
            exported_test(made, asked.query.get("place", ""))
            if format == "py"
            else exported(made, "ndjson" if format == "ndjson" else "json")
        )
    except RunConflict as error:
        raise HTTPException(409, shown(str(error))) from error
    name = f"test_{file_stem(id)}.py" if format == "py" else f"{id}.{format}"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return StreamingResponse(chunks, media_type=_TYPES[format], headers=headers)
