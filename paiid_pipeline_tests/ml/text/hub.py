"""A hub on loopback: the files of folders, in the shapes that the hub's own client asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

COMMIT = "0" * 40


def hub(models: Mapping[str, Path], asked: list[str]) -> Starlette:
    """Serves each model's folder under its name, ``owner/model``; ``asked`` gathers the paths asked for."""

    async def file(request: Request) -> Response:
        asked.append(request.url.path)
        folder = models.get(f"{request.path_params['owner']}/{request.path_params['model']}")
        if folder is None:
            return Response(status_code=404, headers={"X-Error-Code": "RepoNotFound"})
        path = folder / request.path_params["path"]
        if not path.is_file():
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        etag = hashlib.sha256(path.read_bytes()).hexdigest()
        return FileResponse(path, headers={"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    async def about(request: Request) -> Response:
        asked.append(request.url.path)
        name = f"{request.path_params['owner']}/{request.path_params['model']}"
        if name not in models:
            return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if request.path_params.get("rest"):
            return JSONResponse({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        files = [{"rfilename": path.name} for path in sorted(models[name].iterdir())]
        return JSONResponse({"id": name, "sha": COMMIT, "private": False, "siblings": files, "tags": []})

    return Starlette(
        routes=[
            Route("/api/models/{owner}/{model}", about),
            Route("/api/models/{owner}/{model}/{rest:path}", about),
            Route("/{owner}/{model}/resolve/{revision}/{path:path}", file, methods=["GET", "HEAD"]),
        ]
    )
