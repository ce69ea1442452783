"""A read-only web server of one folder: what a provider has released, for its connector's data plane to fetch."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

if TYPE_CHECKING:
    from pathlib import Path


def create_app(folder: Path) -> FastAPI:
    """Create the server.

    Only regular files below the folder are served, by their exact path: no listing, no hidden files, and nothing that
    a link or ``..`` leads to outside. A file is sent with its ETag and answered with 304 when the client has it.

    :param folder: what is released; created when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    app = FastAPI(title="outbox", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])
    def read(path: str, request: Request) -> Response:
        file = _released(root, path)
        if file is None:
            return JSONResponse({"detail": "Not Found"}, HTTPStatus.NOT_FOUND)
        response = FileResponse(file, stat_result=file.stat(), headers={"Cache-Control": "no-cache"})
        if response.headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": response.headers["etag"]})
        return response

    return app


def _released(root: Path, path: str) -> Path | None:
    parts = path.split("/")
    if any(part.startswith(".") or not part or "\0" in part for part in parts):
        return None
    file = root.joinpath(*parts).resolve()
    return file if file.is_relative_to(root) and file.is_file() else None
