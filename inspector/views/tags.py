"""The POST that changes a run's tags, from the form on its page."""

from __future__ import annotations

import re
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import Answer

from ..forms import Form, read_form
from ..present.values import shown
from ..site import Asked, Notice, asked_of, json_response, new_op, render
from ..urls import run_url, with_query
from .ways import run_page

__all__ = ["do_tags"]

_OP = re.compile(r"[0-9a-f]{32}")
_STATUS = {"faulty": 422, "missing": 404}


async def do_tags(request: Request) -> Response:
    """POST /runs/{id}/tags. `on` are tags with commas between; of the tags that are there, the fields `off.…` name some."""
    form = await read_form(request)
    return await run_in_threadpool(_do, request, form)


def _do(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    wants_json = form.is_json or asked.path.endswith(".json")
    op = form.get("op") or (new_op() if wants_json else "")
    id = asked.text("id")
    answer = _carry_out(asked, id, op, form)
    if wants_json:
        body = {"outcome": answer.outcome, "message": answer.message, "status": answer.status, "op": op}
        return json_response(body, _STATUS.get(answer.outcome, 200))
    if answer.outcome == "done":
        return Response(status_code=303, headers={"Location": with_query(run_url(id), op=op)})
    page = run_page(asked)
    notice = Notice(f"The tags were not changed: {shown(answer.message)}", good=False)
    return render(request, asked, replace(page, status=_STATUS.get(answer.outcome, 409), notice=notice))


def _carry_out(asked: Asked, id: str, op: str, form: Form) -> Answer:
    row = asked.reader.run(id)
    if row is None:
        return Answer("missing", f"there is no run {id!r}")
    if not _OP.fullmatch(op):
        return Answer("faulty", "the form has no valid op; load its page again")
    deed = asked.reader.deed(op)
    if deed is not None and deed.run != row.seq:
        return Answer("faulty", "this op was another wish")
    chosen = {value for name, value in form.fields.items() if name.startswith("off")}
    remove = [tag for tag in row.tags if shown(tag) in chosen]
    add = [tag.strip() for tag in form.get("on").split(",") if tag.strip()]
    if not add and not remove and deed is None:
        return Answer("faulty", "name a tag to put on, or choose one to take off")
    return asked.site.verbs.tag(id, op, add, remove)
