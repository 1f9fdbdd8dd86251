"""Static files under the hash of their contents, so that a browser may keep each for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

__all__ = ["Statics"]

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Statics:
    """The files below a folder that pages may load, by name."""

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES)
        self._urls: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        for path in files:
            name = path.relative_to(folder).as_posix()
            url = f"/static/{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}/{name}"
            self._urls[name], self._files[url] = url, path

    def __call__(self, name: str) -> str:
        """Where a file stands."""
        return self._urls[name]

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses."""
        return tuple(self._files)

    async def serve(self, request: Request) -> Response:
        """One file."""
        path = self._files.get(request.url.path)
        if path is None:
            return PlainTextResponse("no such file\n", 404)
        return FileResponse(
            path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )
